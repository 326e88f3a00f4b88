/* The time loop, forward and backward, of a cell with one recurrent product per step.
 *
 * At every step, each thread computes its tiles of the product, synchronises, computes the elementwise operations of
 * its rows, and synchronises again.
 */
typedef struct {
  int64_t steps, batch, hidden, width; /* T, B, H and the gates' G*H */
  int64_t first, end;                  /* the call computes the steps from first to end - 1 */
  const int64_t *active;               /* active rows at each step, non-increasing */
  const REAL *weight, *bias, *mask;    /* (G*H, H); (G*H) or null; (B, H) or null: product of hidden * mask */
  const REAL *hiddens;                 /* (T + 1, B, H) */
  const REAL *grad_product;            /* (T, B, G*H) */
  REAL *grad_hidden;                   /* (B, H) */
  int64_t hidden_skip;                 /* the new hidden state also depends on the old one without the product */
  REAL *scratch;                       /* scratch_size values */
} Time;

/* Elementwise operations of a cell for one row at one step; at indexes (T, B), row_product may be null. */
typedef void RowWork(const void *run, int64_t at, int64_t row, const REAL *row_product);

#define MAX_ROWS_UNPACKED 16          /* total rows up to which a forward pass does not pack the weight */
#define MIN_PARALLEL_WORK (1L << 16)  /* multiplications per step from which multithreading pays off */
#define USE_THREADS(time) ((time)->active[0] * (time)->hidden * (time)->width >= MIN_PARALLEL_WORK)

/* Scratch values needed by a pass: at most two packed weights, products, and masked hidden states. */
int64_t scratch_size(int64_t batch, int64_t hidden, int64_t width) {
  return (width + 2 * LANES) * (hidden + LANES) + batch * (width + hidden);
}

/* The scratch may be a null pointer, to which nothing may be added as a pointer: its size is then counted. */
static REAL *scratch_alloc(REAL **scratch, int64_t count) {
  REAL *block = *scratch;
  *scratch = (REAL *)((uintptr_t)block + (uintptr_t)count * sizeof(REAL));
  return block;
}

static Product product_of(const Time *time, int64_t inner, int64_t width, const REAL *weight, int64_t transposed,
                          REAL **scratch) {
  int64_t rows = 0;
  for (int64_t step = 0; step < time->steps && rows <= MAX_ROWS_UNPACKED; step++)
    rows += time->active[step];
  const int64_t packed_size = vectors_of(width) * LANES * inner;
  REAL *packed = transposed && rows <= MAX_ROWS_UNPACKED ? 0 : scratch_alloc(scratch, packed_size);
  return (Product){.inner = inner, .width = width, .weight = weight, .transposed = transposed, .packed = packed};
}

/* Packs the weight; `is_first` is the first call of a pass, whose scratch the others use. */
static void pack_once(const Product *product, int64_t is_first, Thread thread) {
  if (is_first)
    pack(product, thread);
}

static void each_row(RowWork *work, const void *run, int64_t at, int64_t rows, const REAL *products, int64_t width,
                     Thread thread) {
  for (int64_t row = thread_start(rows, thread); row < thread_end(rows, thread); row++)
    work(run, at + row, row, products ? products + row * width : 0);
}

/* masked = hidden state after `step` steps * mask, for this thread's rows */
static void mask_hidden(const Time *time, int64_t step, int64_t rows, REAL *masked, Thread thread) {
  const int64_t hidden = time->hidden;
  if (!time->mask)
    return;
  const int64_t from = thread_start(rows, thread) * hidden, to = thread_end(rows, thread) * hidden;
  const REAL *state = time->hiddens + step * time->batch * hidden;
  EACH(to - from) masked[from + k] = state[from + k] * time->mask[from + k];
}

static const REAL *product_input(const Time *time, int64_t step, const REAL *masked) {
  return time->mask ? masked : time->hiddens + step * time->batch * time->hidden;
}

static void run_forward(const Time *time, const void *run, RowWork *work) {
  const int64_t hidden = time->hidden, width = time->width;
  REAL *scratch = time->scratch;
  Product product = product_of(time, hidden, width, time->weight, 1, &scratch);
  product.bias = time->bias;
  REAL *products = scratch_alloc(&scratch, time->batch * width);
  REAL *masked = scratch_alloc(&scratch, time->batch * hidden);
  IN_PARALLEL(USE_THREADS(time)) {
    const Thread thread = THIS_THREAD;
    pack_once(&product, time->first == 0, thread);
    mask_hidden(time, time->first, time->active[time->first], masked, thread);
    WAIT_FOR_ALL
    for (int64_t step = time->first; step < time->end; step++) {
      const int64_t rows = time->active[step];
      multiply(&product, rows, product_input(time, step, masked), hidden, products, width, thread);
      WAIT_FOR_ALL
      each_row(work, run, step * time->batch, rows, products, width, thread);
      mask_hidden(time, step + 1, rows, masked, thread);
      WAIT_FOR_ALL
    }
  }
}

static void run_backward(const Time *time, const void *run, RowWork *work) {
  const int64_t hidden = time->hidden, width = time->width;
  REAL *scratch = time->scratch;
  Product product = product_of(time, width, hidden, time->weight, 0, &scratch);
  product.scale = time->mask;
  product.add = time->hidden_skip;
  IN_PARALLEL(USE_THREADS(time)) {
    const Thread thread = THIS_THREAD;
    pack_once(&product, time->end == time->steps, thread);
    for (int64_t step = time->end - 1; step >= time->first; step--) {
      const int64_t rows = time->active[step], at = step * time->batch;
      WAIT_FOR_ALL
      each_row(work, run, at, rows, 0, 0, thread);
      WAIT_FOR_ALL
      multiply(&product, rows, time->grad_product + at * width, width, time->grad_hidden, hidden, thread);
    }
  }
}

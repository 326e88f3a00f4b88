/* The time loop, forward and backward, of a cell with one recurrent product a step.
 *
 * All threads go through time together: each makes its tiles of the product, waits for the others, does the elementwise
 * work of its rows, and waits again.
 */
typedef struct {
  int64_t steps, batch, hidden, width; /* T, B, H and the gates' G*H */
  const int64_t *alive;                /* rows that go on at each step, never more than before */
  const REAL *weight, *bias, *mask;    /* (G*H, H); (G*H) or null; (B, H) or null: what the product sees is hidden * mask */
  const REAL *hiddens;                 /* (T + 1, B, H) */
  const REAL *grad_product;            /* (T, B, G*H) */
  REAL *grad_hidden;                   /* (B, H) */
  int64_t keeps_hidden;                /* the old hidden state reaches the new one past the product too */
  REAL *scratch;                       /* scratch_size numbers */
} Time;

/* The elementwise work of a cell on one row at one step, `at` its place in (T, B); add is the row's product, or null. */
typedef void RowWork(const void *run, int64_t at, int64_t row, const REAL *add);

#define FEW 16            /* rows in all, up to which a forward pass does not pack the weight */
#define WORTH (1L << 16)  /* multiplications a step from which threads gain more than they wait */
#define MANY(time) ((time)->alive[0] * (time)->hidden * (time)->width >= WORTH)

/* Numbers that a pass takes: two packed weights at most, products, and what is fed. */
int64_t scratch_size(int64_t batch, int64_t hidden, int64_t width) {
  return (width + 2 * LANES) * (hidden + LANES) + batch * (width + hidden);
}

static REAL *take(REAL **scratch, int64_t count) {
  REAL *taken = *scratch;
  *scratch += count;
  return taken;
}

static Product product_of(const Time *time, int64_t inner, int64_t width, const REAL *weight, int64_t transposed,
                          REAL **scratch) {
  int64_t rows = 0;
  for (int64_t step = 0; step < time->steps && rows <= FEW; step++)
    rows += time->alive[step];
  REAL *packed = transposed && rows <= FEW ? 0 : take(scratch, vectors_of(width) * LANES * inner);
  return (Product){.inner = inner, .width = width, .weight = weight, .transposed = transposed, .packed = packed};
}

static void each_row(RowWork *work, const void *run, int64_t at, int64_t rows, const REAL *products, int64_t width,
                     Thread thread) {
  for (int64_t row = share(rows, thread.of, thread.me); row < share(rows, thread.of, thread.me + 1); row++)
    work(run, at + row, row, products ? products + row * width : 0);
}

/* fed = hidden state after `step` steps * mask, for this thread's rows */
static void feed(const Time *time, int64_t step, int64_t rows, REAL *fed, Thread thread) {
  const int64_t hidden = time->hidden;
  if (!time->mask)
    return;
  const int64_t from = share(rows, thread.of, thread.me) * hidden, to = share(rows, thread.of, thread.me + 1) * hidden;
  const REAL *state = time->hiddens + step * time->batch * hidden;
  EACH(to - from) fed[from + k] = state[from + k] * time->mask[from + k];
}

static const REAL *fed_at(const Time *time, int64_t step, const REAL *fed) {
  return time->mask ? fed : time->hiddens + step * time->batch * time->hidden;
}

static void run_forward(const Time *time, const void *run, RowWork *work) {
  const int64_t hidden = time->hidden, width = time->width;
  REAL *scratch = time->scratch;
  Product product = product_of(time, hidden, width, time->weight, 1, &scratch);
  product.bias = time->bias;
  REAL *products = take(&scratch, time->batch * width), *fed = take(&scratch, time->batch * hidden);
  IN_PARALLEL(MANY(time)) {
    const Thread thread = THIS_THREAD;
    pack(&product, thread);
    feed(time, 0, time->alive[0], fed, thread);
    WAIT_FOR_ALL
    for (int64_t step = 0; step < time->steps; step++) {
      const int64_t rows = time->alive[step];
      multiply(&product, rows, fed_at(time, step, fed), hidden, products, width, thread);
      WAIT_FOR_ALL
      each_row(work, run, step * time->batch, rows, products, width, thread);
      feed(time, step + 1, rows, fed, thread);
      WAIT_FOR_ALL
    }
  }
}

static void run_backward(const Time *time, const void *run, RowWork *work) {
  const int64_t hidden = time->hidden, width = time->width;
  REAL *scratch = time->scratch;
  Product product = product_of(time, width, hidden, time->weight, 0, &scratch);
  product.scale = time->mask;
  product.add = time->keeps_hidden;
  IN_PARALLEL(MANY(time)) {
    const Thread thread = THIS_THREAD;
    pack(&product, thread);
    for (int64_t step = time->steps - 1; step >= 0; step--) {
      const int64_t rows = time->alive[step], at = step * time->batch;
      WAIT_FOR_ALL
      each_row(work, run, at, rows, 0, 0, thread);
      WAIT_FOR_ALL
      multiply(&product, rows, time->grad_product + at * width, width, time->grad_hidden, hidden, thread);
    }
  }
}

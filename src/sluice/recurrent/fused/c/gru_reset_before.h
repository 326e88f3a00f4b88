/* The GRU with reset before the product: two products per step. */
typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *gates, *hiddens, *mask; /* gates (T, B, 3H): reset, update, new; mask (B, H) or null */
  REAL *reset_hidden;                       /* (T, B, H): r * h, the input of the second product */
  REAL *grad_outputs, *grad_hidden, *grad_projected;
} GruBefore;

/* reset and update gates from the first product, and r * h for the second one */
static void gates_row(const void *fields, int64_t at, int64_t row, const REAL *row_product) {
  const GruBefore *run = fields;
  const int64_t hidden = run->hidden;
  const REAL *in = run->projected + at * 3 * hidden;
  const REAL *old = run->hiddens + at * hidden;
  REAL *r = run->gates + at * 3 * hidden, *reset = run->reset_hidden + at * hidden;
  EACH(2 * hidden) r[k] = in[k] + row_product[k];
  sigmoid(2 * hidden, r);
  EACH(hidden) reset[k] = r[k] * old[k];
  if (run->mask)
    EACH(hidden) reset[k] *= run->mask[row * hidden + k];
}

static void new_row(const void *fields, int64_t at, int64_t row, const REAL *row_product) {
  const GruBefore *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch;
  const REAL *in = run->projected + (at * 3 + 2) * hidden;
  const REAL *old = run->hiddens + at * hidden, *z = run->gates + (at * 3 + 1) * hidden;
  REAL *new = run->gates + (at * 3 + 2) * hidden, *h = run->hiddens + (at + batch) * hidden;
  EACH(hidden) new[k] = in[k] + row_product[k];
  activate(run->activation, hidden, new, new);
  EACH(hidden) h[k] = new[k] + z[k] * (old[k] - new[k]);
}

/* gradients of the update gate and the new state; grad_hidden becomes the gradient through the update gate */
static void new_row_back(const void *fields, int64_t at, int64_t row, const REAL *unused) {
  const GruBefore *run = fields;
  const int64_t hidden = run->hidden;
  FOR_BLOCKS(from, n, hidden) {
    const REAL *z = run->gates + (at * 3 + 1) * hidden + from, *new = z + hidden;
    const REAL *old = run->hiddens + at * hidden + from;
    REAL *dz = run->grad_projected + (at * 3 + 1) * hidden + from, *dn = dz + hidden;
    const REAL *grad_output = run->grad_outputs ? run->grad_outputs + at * hidden + from : 0;
    lerp_backward(run->activation, n, z, new, old, grad_output, dz, dn, run->grad_hidden + row * hidden + from);
  }
}

/* gradient of the reset gate from that of the second product's input */
static void reset_row_back(const void *fields, int64_t at, int64_t row, const REAL *grad_output) {
  const GruBefore *run = fields;
  const int64_t hidden = run->hidden;
  const REAL *r = run->gates + at * 3 * hidden, *old = run->hiddens + at * hidden;
  const REAL *mask = run->mask ? run->mask + row * hidden : 0;
  REAL *dr = run->grad_projected + at * 3 * hidden, *dh = run->grad_hidden + row * hidden;
  EACH(hidden) {
    REAL grad = mask ? grad_output[k] * mask[k] : grad_output[k];
    dr[k] = grad * old[k] * r[k] * (1 - r[k]);
    dh[k] += grad * r[k];
  }
}

void gru_before_forward(const Time *time, const GruBefore *run) {
  const int64_t hidden = time->hidden, batch = time->batch;
  REAL *scratch = time->scratch;
  Product gates = product_of(time, hidden, 2 * hidden, time->weight, 1, &scratch);
  Product new = product_of(time, hidden, hidden, time->weight + 2 * hidden * hidden, 1, &scratch);
  gates.bias = time->bias;
  new.bias = time->bias ? time->bias + 2 * hidden : 0;
  REAL *products = scratch_alloc(&scratch, batch * 2 * hidden), *masked = scratch_alloc(&scratch, batch * hidden);
  IN_PARALLEL(USE_THREADS(time)) {
    const Thread thread = THIS_THREAD;
    pack_once(&gates, time->first == 0, thread);
    pack_once(&new, time->first == 0, thread);
    mask_hidden(time, time->first, time->active[time->first], masked, thread);
    WAIT_FOR_ALL
    for (int64_t step = time->first; step < time->end; step++) {
      const int64_t rows = time->active[step], at = step * batch;
      multiply(&gates, rows, product_input(time, step, masked), hidden, products, 2 * hidden, thread);
      WAIT_FOR_ALL
      each_row(gates_row, run, at, rows, products, 2 * hidden, thread);
      WAIT_FOR_ALL
      multiply(&new, rows, run->reset_hidden + at * hidden, hidden, products, hidden, thread);
      WAIT_FOR_ALL
      each_row(new_row, run, at, rows, products, hidden, thread);
      mask_hidden(time, step + 1, rows, masked, thread);
      WAIT_FOR_ALL
    }
  }
}

void gru_before_backward(const Time *time, const GruBefore *run) {
  const int64_t hidden = time->hidden, width = 3 * hidden;
  REAL *scratch = time->scratch;
  Product gates = product_of(time, 2 * hidden, hidden, time->weight, 0, &scratch);
  Product new = product_of(time, hidden, hidden, time->weight + 2 * hidden * hidden, 0, &scratch);
  gates.scale = time->mask;
  gates.add = 1;
  REAL *grad_reset_hidden = scratch_alloc(&scratch, time->batch * hidden);
  IN_PARALLEL(USE_THREADS(time)) {
    const Thread thread = THIS_THREAD;
    pack_once(&gates, time->end == time->steps, thread);
    pack_once(&new, time->end == time->steps, thread);
    for (int64_t step = time->end - 1; step >= time->first; step--) {
      const int64_t rows = time->active[step], at = step * time->batch;
      const REAL *grads = run->grad_projected + at * width;
      WAIT_FOR_ALL
      each_row(new_row_back, run, at, rows, 0, 0, thread);
      WAIT_FOR_ALL
      multiply(&new, rows, grads + 2 * hidden, width, grad_reset_hidden, hidden, thread);
      WAIT_FOR_ALL
      each_row(reset_row_back, run, at, rows, grad_reset_hidden, hidden, thread);
      WAIT_FOR_ALL
      multiply(&gates, rows, grads, width, time->grad_hidden, hidden, thread);
    }
  }
}

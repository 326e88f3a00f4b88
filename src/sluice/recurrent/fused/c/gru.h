/* The GRU, reset after the product. */
typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *gates, *behind, *hiddens; /* gates: reset, keep, new; behind the reset gate, (T, B, H) */
  REAL *grad_outputs, *grad_hidden, *grad_projected, *grad_product;
} Gru;

static void gru_row(const void *fields, int64_t at, int64_t row, const REAL *add) {
  const Gru *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch;
  FOR_BLOCKS(from, n, hidden) {
    const REAL *in = run->projected + at * 3 * hidden + from, *product = add + from;
    const REAL *old = run->hiddens + at * hidden + from;
    REAL *r = run->gates + at * 3 * hidden + from, *z = r + hidden, *new = z + hidden;
    REAL *behind = run->behind + at * hidden + from;
    REAL *h = run->hiddens + (at + batch) * hidden + from;
    EACH(n) {
      r[k] = in[k] + product[k];
      z[k] = in[hidden + k] + product[hidden + k];
      behind[k] = product[2 * hidden + k];
    }
    sigmoid(n, r);
    sigmoid(n, z);
    EACH(n) new[k] = in[2 * hidden + k] + r[k] * behind[k];
    activate(run->activation, n, new, new);
    EACH(n) h[k] = new[k] + z[k] * (old[k] - new[k]);
  }
}

static void gru_row_back(const void *fields, int64_t at, int64_t row, const REAL *none) {
  const Gru *run = fields;
  const int64_t hidden = run->hidden;
  FOR_BLOCKS(from, n, hidden) {
    REAL slope[BLOCK];
    const REAL *r = run->gates + at * 3 * hidden + from, *z = r + hidden, *new = z + hidden;
    const REAL *behind = run->behind + at * hidden + from;
    const REAL *old = run->hiddens + at * hidden + from;
    REAL *dr = run->grad_projected + at * 3 * hidden + from, *dz = dr + hidden, *dn = dz + hidden;
    REAL *pr = run->grad_product + at * 3 * hidden + from, *pz = pr + hidden, *pn = pz + hidden;
    REAL *dh = run->grad_hidden + row * hidden + from;
    if (run->grad_outputs)
      EACH(n) dh[k] += run->grad_outputs[at * hidden + from + k];
    slope_of(run->activation, n, new, slope);
    EACH(n) {
      dn[k] = dh[k] * (1 - z[k]) * slope[k];
      dr[k] = pr[k] = dn[k] * behind[k] * r[k] * (1 - r[k]);
      dz[k] = pz[k] = dh[k] * (old[k] - new[k]) * z[k] * (1 - z[k]);
      pn[k] = dn[k] * r[k];
      dh[k] *= z[k];
    }
  }
}

void gru_forward(const Time *time, const Gru *run) { run_forward(time, run, gru_row); }

void gru_backward(const Time *time, const Gru *run) { run_backward(time, run, gru_row_back); }

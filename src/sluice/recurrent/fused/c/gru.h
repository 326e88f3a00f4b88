/* The GRU with reset after the product. */
typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *gates, *new_product, *hiddens; /* gates: reset, update, new; new_product (T, B, H): W_hn h + b_hn */
  REAL *grad_outputs, *grad_hidden, *grad_projected, *grad_product;
} Gru;

static void gru_row(const void *fields, int64_t at, int64_t row, const REAL *row_product) {
  const Gru *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch;
  FOR_BLOCKS(from, n, hidden) {
    const REAL *in = run->projected + at * 3 * hidden + from, *product = row_product + from;
    const REAL *old = run->hiddens + at * hidden + from;
    REAL *r = run->gates + at * 3 * hidden + from, *z = r + hidden, *new = z + hidden;
    REAL *new_product = run->new_product + at * hidden + from;
    REAL *h = run->hiddens + (at + batch) * hidden + from;
    EACH(n) {
      r[k] = in[k] + product[k];
      z[k] = in[hidden + k] + product[hidden + k];
      new_product[k] = product[2 * hidden + k];
    }
    sigmoid(n, r);
    sigmoid(n, z);
    EACH(n) new[k] = in[2 * hidden + k] + r[k] * new_product[k];
    activate(run->activation, n, new, new);
    EACH(n) h[k] = new[k] + z[k] * (old[k] - new[k]);
  }
}

/* backward of h' = (1 - z) * new + z * old: gradients of the pre-activations of z and new; dh becomes that of old */
static void lerp_backward(int64_t activation, int64_t n, const REAL *z, const REAL *new, const REAL *old,
                          const REAL *grad_output, REAL *dz, REAL *dn, REAL *dh) {
  REAL slope[BLOCK];
  if (grad_output)
    EACH(n) dh[k] += grad_output[k];
  slope_of(activation, n, new, slope);
  EACH(n) {
    dn[k] = dh[k] * (1 - z[k]) * slope[k];
    dz[k] = dh[k] * (old[k] - new[k]) * z[k] * (1 - z[k]);
    dh[k] *= z[k];
  }
}

static void gru_row_back(const void *fields, int64_t at, int64_t row, const REAL *unused) {
  const Gru *run = fields;
  const int64_t hidden = run->hidden;
  FOR_BLOCKS(from, n, hidden) {
    const REAL *r = run->gates + at * 3 * hidden + from, *z = r + hidden, *new = z + hidden;
    const REAL *new_product = run->new_product + at * hidden + from, *old = run->hiddens + at * hidden + from;
    REAL *dr = run->grad_projected + at * 3 * hidden + from, *dz = dr + hidden, *dn = dz + hidden;
    REAL *pr = run->grad_product + at * 3 * hidden + from, *pz = pr + hidden, *pn = pz + hidden;
    const REAL *grad_output = run->grad_outputs ? run->grad_outputs + at * hidden + from : 0;
    lerp_backward(run->activation, n, z, new, old, grad_output, dz, dn, run->grad_hidden + row * hidden + from);
    EACH(n) {
      dr[k] = pr[k] = dn[k] * new_product[k] * r[k] * (1 - r[k]);
      pz[k] = dz[k];
      pn[k] = dn[k] * r[k];
    }
  }
}

void gru_forward(const Time *time, const Gru *run) { run_forward(time, run, gru_row); }

void gru_backward(const Time *time, const Gru *run) { run_backward(time, run, gru_row_back); }

/* The LSTMs: plain, peephole, coupled, layer-normalised, with any activations. */
typedef struct {
  int64_t batch, hidden, coupled, activation, cell_activation;
  REAL *projected, *gates, *hiddens, *cells, *peephole;
  REAL *grad_outputs, *grad_cells; /* (T, B, H), null where there is no gradient */
  REAL *grad_hidden, *grad_cell;   /* (B, H), of the state after the step, replaced by that before it */
  REAL *grad_projected, *grad_product; /* (T, B, G*H); the same memory where the product is not normalised */
  REAL *grad_peephole;                 /* (B, 3*H), summed over the steps */
  Norm norm, cell_norm;
} Lstm;

static void lstm_row(const void *fields, int64_t at, int64_t row, const REAL *row_product) {
  const Lstm *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch, parts = run->coupled ? 3 : 4, width = parts * hidden;
  const REAL *in = run->projected + at * width;
  REAL *gates = run->gates + at * width;
  const REAL *old = run->cells + at * hidden;
  REAL *cell = run->cells + (at + batch) * hidden, *out = run->hiddens + (at + batch) * hidden;
  if (run->norm.gain) {
    REAL *normal = run->norm.normal + at * width;
    run->norm.scale[at] = normalise(width, row_product, normal);
    EACH(width) gates[k] = in[k] + normal[k] * run->norm.gain[k] + run->norm.bias[k];
  } else {
    EACH(width) gates[k] = in[k] + row_product[k];
  }
  REAL *forget = gates + (parts - 3) * hidden, *candidate = forget + hidden, *output = candidate + hidden;
  const REAL *peephole = run->peephole;
  FOR_BLOCKS(from, n, hidden) {
    REAL *f = forget + from, *g = candidate + from, *i = gates + from, *c = cell + from;
    const REAL *c0 = old + from;
    if (peephole)
      EACH(n) {
        i[k] += peephole[from + k] * c0[k];
        f[k] += peephole[hidden + from + k] * c0[k];
      }
    sigmoid(n, f);
    activate(run->cell_activation, n, g, g);
    if (run->coupled) {
      EACH(n) c[k] = f[k] * c0[k] + (1 - f[k]) * g[k];
    } else {
      sigmoid(n, i);
      EACH(n) c[k] = f[k] * c0[k] + i[k] * g[k];
    }
  }
  const REAL *activation_input = cell;
  if (run->cell_norm.gain) {
    REAL *normal = run->cell_norm.normal + at * hidden;
    run->cell_norm.scale[at] = normalise(hidden, cell, normal);
    EACH(hidden) out[k] = normal[k] * run->cell_norm.gain[k] + run->cell_norm.bias[k];
    activation_input = out;
  }
  FOR_BLOCKS(from, n, hidden) {
    REAL *o = output + from, *h = out + from;
    if (peephole)
      EACH(n) o[k] += peephole[2 * hidden + from + k] * cell[from + k];
    sigmoid(n, o);
    activate(run->activation, n, activation_input + from, h);
    EACH(n) h[k] *= o[k];
  }
}

static void lstm_row_back(const void *fields, int64_t at, int64_t row, const REAL *unused) {
  const Lstm *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch, parts = run->coupled ? 3 : 4, width = parts * hidden;
  const REAL *gates = run->gates + at * width, *peephole = run->peephole;
  const REAL *forget = gates + (parts - 3) * hidden, *candidate = forget + hidden, *output = candidate + hidden;
  REAL *grads = run->grad_projected + at * width;
  REAL *to_forget = grads + (parts - 3) * hidden, *to_candidate = to_forget + hidden,
       *to_output = to_candidate + hidden;
  const REAL *old = run->cells + at * hidden, *cell = run->cells + (at + batch) * hidden;
  REAL *grad_hidden = run->grad_hidden + row * hidden, *grad_cell = run->grad_cell + row * hidden;
  REAL *grad_normal = run->cell_norm.gain ? grad_hidden : 0;
  REAL *to_peephole = peephole ? run->grad_peephole + row * 3 * hidden : 0;
  /* backward of h = o * f_h(c): adds to grad_cell; with a normalised cell state, grad_hidden becomes that of
     the normalised cell state */
  FOR_BLOCKS(from, n, hidden) {
    REAL squashed[BLOCK], slope[BLOCK], activation_input[BLOCK];
    REAL *dh = grad_hidden + from, *dc = grad_cell + from, *d_o = to_output + from;
    const REAL *o = output + from, *c = cell + from;
    if (run->grad_outputs)
      EACH(n) dh[k] += run->grad_outputs[at * hidden + from + k];
    if (run->grad_cells)
      EACH(n) dc[k] += run->grad_cells[at * hidden + from + k];
    if (grad_normal)
      EACH(n)
        activation_input[k] = run->cell_norm.normal[at * hidden + from + k] * run->cell_norm.gain[from + k] +
                  run->cell_norm.bias[from + k];
    activate(run->activation, n, grad_normal ? activation_input : c, squashed);
    slope_of(run->activation, n, squashed, slope);
    EACH(n) d_o[k] = dh[k] * squashed[k] * o[k] * (1 - o[k]);
    if (grad_normal)
      EACH(n) dh[k] *= o[k] * slope[k];
    else
      EACH(n) dc[k] += dh[k] * o[k] * slope[k];
    if (peephole)
      EACH(n) {
        dc[k] += d_o[k] * peephole[2 * hidden + from + k];
        to_peephole[2 * hidden + from + k] += d_o[k] * c[k];
      }
  }
  if (grad_normal) {
    normalise_backward(&run->cell_norm, at, row, hidden, grad_hidden, grad_hidden);
    EACH(hidden) grad_cell[k] += grad_hidden[k];
  }
  FOR_BLOCKS(from, n, hidden) {
    REAL slope[BLOCK];
    REAL *dc = grad_cell + from, *df = to_forget + from, *dg = to_candidate + from, *di = grads + from;
    const REAL *f = forget + from, *g = candidate + from, *i = gates + from, *c0 = old + from;
    slope_of(run->cell_activation, n, g, slope);
    if (run->coupled) {
      EACH(n) {
        df[k] = dc[k] * (c0[k] - g[k]) * f[k] * (1 - f[k]);
        dg[k] = dc[k] * (1 - f[k]) * slope[k];
        dc[k] *= f[k];
      }
      continue;
    }
    EACH(n) {
      di[k] = dc[k] * g[k] * i[k] * (1 - i[k]);
      df[k] = dc[k] * c0[k] * f[k] * (1 - f[k]);
      dg[k] = dc[k] * i[k] * slope[k];
      dc[k] *= f[k];
    }
    if (peephole)
      EACH(n) {
        dc[k] += di[k] * peephole[from + k] + df[k] * peephole[hidden + from + k];
        to_peephole[from + k] += di[k] * c0[k];
        to_peephole[hidden + from + k] += df[k] * c0[k];
      }
  }
  if (run->norm.gain)
    normalise_backward(&run->norm, at, row, width, grads, run->grad_product + at * width);
}

void lstm_forward(const Time *time, const Lstm *run) { run_forward(time, run, lstm_row); }

void lstm_backward(const Time *time, const Lstm *run) { run_backward(time, run, lstm_row_back); }

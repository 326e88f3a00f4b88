/* The elementwise work of one time step, forward and backward, one row of the batch after the other.
 *
 * Built by native.py with the machine's own C compiler, once for each REAL (float, double). The equations are those
 * of the cells in ../cells; lstm.py, gru.py and rnn.py next to this file do the same with torch alone.
 * Layouts: projected, gates (T, B, G*H); hiddens, cells (T + 1, B, H), entry 0 the initial state; product (rows, G*H).
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif
#define BLOCK 256 /* units worked on at a time: a few of these fit the first-level cache */
#define ROWS_IN_PARALLEL _Pragma("omp parallel for schedule(static) if (rows * hidden > 4096)")

#define PRAGMA(text) _Pragma(#text)
#define EACH(n) PRAGMA(omp simd) for (int64_t k = 0; k < (n); k++) /* no two k touch the same memory */
#define SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__)) /* lets the compiler add in any order */

enum { TANH, RELU, SIGMOID, SOFTSIGN, IDENTITY, ELU, LEAKY_RELU, HARDTANH, SOFTPLUS };

/* exp and tanh that the compiler can vectorise, within 2 units in the last place of a float */
static inline float exp_f(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  float n = rintf(x * 1.44269504f);
  float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  union { int32_t bits; float value; } scale = {((int32_t)n + 127) << 23};
  return p * scale.value;
}

static inline float tanh_f(float x) {
  float square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  float small = x + x * square * p;
  float large = 1.0f - 2.0f / (exp_f(2.0f * x) + 1.0f);
  return fabsf(x) < 0.625f ? small : large;
}

#define EXP(x) (sizeof(REAL) == 4 ? (REAL)exp_f((float)(x)) : (REAL)exp((double)(x)))
#define TANH_OF(x) (sizeof(REAL) == 4 ? (REAL)tanh_f((float)(x)) : (REAL)tanh((double)(x)))

static void sigmoid(int64_t n, REAL *x) {
  EACH(n) x[k] = 1 / (1 + EXP(-x[k]));
}

static void activate(int64_t kind, int64_t n, const REAL *x, REAL *y) {
  switch (kind) {
  case TANH: EACH(n) y[k] = TANH_OF(x[k]); break;
  case RELU: EACH(n) y[k] = x[k] < 0 ? 0 : x[k]; break;
  case SIGMOID: EACH(n) y[k] = 1 / (1 + EXP(-x[k])); break;
  case SOFTSIGN: EACH(n) y[k] = x[k] / (1 + (REAL)fabs(x[k])); break;
  case IDENTITY: EACH(n) y[k] = x[k]; break;
  case ELU: EACH(n) y[k] = x[k] > 0 ? x[k] : EXP(x[k]) - 1; break;
  case LEAKY_RELU: EACH(n) y[k] = x[k] > 0 ? x[k] : (REAL)0.01 * x[k]; break;
  case HARDTANH: EACH(n) y[k] = x[k] > 1 ? 1 : x[k] < -1 ? -1 : x[k]; break;
  case SOFTPLUS:
    EACH(n) y[k] = x[k] > 20 ? x[k] : (REAL)log1p((double)EXP(x[k]));
    break;
  }
}

/* slope[k] = f'(x) where y[k] = f(x) */
static void slope_of(int64_t kind, int64_t n, const REAL *y, REAL *slope) {
  switch (kind) {
  case TANH: EACH(n) slope[k] = 1 - y[k] * y[k]; break;
  case RELU: EACH(n) slope[k] = y[k] > 0 ? 1 : 0; break;
  case SIGMOID: EACH(n) slope[k] = y[k] * (1 - y[k]); break;
  case SOFTSIGN: EACH(n) { REAL d = 1 - (REAL)fabs(y[k]); slope[k] = d * d; } break;
  case IDENTITY: EACH(n) slope[k] = 1; break;
  case ELU: EACH(n) slope[k] = y[k] > 0 ? 1 : y[k] + 1; break;
  case LEAKY_RELU: EACH(n) slope[k] = y[k] > 0 ? 1 : (REAL)0.01; break;
  case HARDTANH: EACH(n) slope[k] = y[k] < 1 && y[k] > -1 ? 1 : 0; break;
  case SOFTPLUS: EACH(n) slope[k] = 1 - EXP(-y[k]); break;
  }
}

#define FOR_BLOCKS(from, n, width)                                                                                     \
  for (int64_t from = 0, n; n = width - from < BLOCK ? width - from : BLOCK, from < width; from += BLOCK)

typedef struct { /* layer normalisation of (T, B, width); gain is null where there is none */
  REAL *gain, *bias, *normal, *scale;
  REAL *grad_gain, *grad_bias; /* (B, width), summed over the steps */
} Norm;

/* Layer normalisation of one row: normal = (x - mean) / deviation, which is what the backward pass needs. */
static REAL normalise(int64_t n, const REAL *x, REAL *normal) {
  REAL sum = 0, squares = 0;
  SUM(sum) for (int64_t k = 0; k < n; k++) sum += x[k];
  const REAL mean = sum / n;
  SUM(squares) for (int64_t k = 0; k < n; k++) { REAL d = x[k] - mean; squares += d * d; }
  const REAL scale = 1 / (REAL)sqrt((double)(squares / n) + 1e-5);
  EACH(n) normal[k] = (x[k] - mean) * scale;
  return scale;
}

/* out = gradient of x from that of gain * normal + bias; at is the place in (T, B), row that in B */
static void normalise_backward(const Norm *norm, int64_t at, int64_t row, int64_t n, const REAL *grad, REAL *out) {
  const REAL *gain = norm->gain, *normal = norm->normal + at * n, scale = norm->scale[at];
  REAL *grad_gain = norm->grad_gain + row * n, *grad_bias = norm->grad_bias + row * n;
  REAL sum = 0, along = 0;
  SUM(sum, along) for (int64_t k = 0; k < n; k++) { REAL g = grad[k] * gain[k]; sum += g; along += g * normal[k]; }
  sum /= n, along /= n;
  EACH(n) {
    grad_gain[k] += grad[k] * normal[k];
    grad_bias[k] += grad[k];
    out[k] = (grad[k] * gain[k] - sum - normal[k] * along) * scale;
  }
}

/* ---------------------------------------------------------------- LSTM */

typedef struct {
  int64_t batch, hidden, coupled, activation, cell_activation;
  REAL *projected, *gates, *hiddens, *cells, *peephole;
  REAL *grad_outputs, *grad_cells; /* (T, B, H), null where nothing came */
  REAL *grad_hidden, *grad_cell;   /* (B, H), of the state after the step, then of the one before it */
  REAL *grad_projected, *grad_product; /* (T, B, G*H); the same memory where the product is not normalised */
  Norm norm, cell_norm;
} Lstm;

void lstm_forward(const Lstm *run, int64_t step, int64_t rows, const REAL *product) {
  const int64_t hidden = run->hidden, batch = run->batch, parts = run->coupled ? 3 : 4, width = parts * hidden;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *in = run->projected + at * width, *add = product + row * width;
    REAL *gates = run->gates + at * width;
    const REAL *old = run->cells + at * hidden;
    REAL *cell = run->cells + (at + batch) * hidden, *out = run->hiddens + (at + batch) * hidden;
    if (run->norm.gain) {
      REAL *normal = run->norm.normal + at * width;
      run->norm.scale[at] = normalise(width, add, normal);
      EACH(width) gates[k] = in[k] + normal[k] * run->norm.gain[k] + run->norm.bias[k];
    } else {
      EACH(width) gates[k] = in[k] + add[k];
    }
    REAL *forget = gates + (parts - 3) * hidden, *candidate = forget + hidden, *output = candidate + hidden;
    const REAL *peep = run->peephole;
    FOR_BLOCKS(from, n, hidden) {
      REAL *f = forget + from, *g = candidate + from, *i = gates + from, *c = cell + from;
      const REAL *c0 = old + from;
      if (peep)
        EACH(n) {
          i[k] += peep[from + k] * c0[k];
          f[k] += peep[hidden + from + k] * c0[k];
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
    const REAL *seen = cell;
    if (run->cell_norm.gain) {
      REAL *normal = run->cell_norm.normal + at * hidden;
      run->cell_norm.scale[at] = normalise(hidden, cell, normal);
      EACH(hidden) out[k] = normal[k] * run->cell_norm.gain[k] + run->cell_norm.bias[k];
      seen = out;
    }
    FOR_BLOCKS(from, n, hidden) {
      REAL *o = output + from, *h = out + from;
      if (peep)
        EACH(n) o[k] += peep[2 * hidden + from + k] * cell[from + k];
      sigmoid(n, o);
      activate(run->activation, n, seen + from, h);
      EACH(n) h[k] *= o[k];
    }
  }
}

void lstm_backward(const Lstm *run, int64_t step, int64_t rows) {
  const int64_t hidden = run->hidden, batch = run->batch, parts = run->coupled ? 3 : 4, width = parts * hidden;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *gates = run->gates + at * width, *peep = run->peephole;
    const REAL *forget = gates + (parts - 3) * hidden, *candidate = forget + hidden, *output = candidate + hidden;
    REAL *grads = run->grad_projected + at * width;
    REAL *to_forget = grads + (parts - 3) * hidden, *to_candidate = to_forget + hidden,
         *to_output = to_candidate + hidden;
    const REAL *old = run->cells + at * hidden, *cell = run->cells + (at + batch) * hidden;
    REAL *grad_hidden = run->grad_hidden + row * hidden, *grad_cell = run->grad_cell + row * hidden;
    REAL *of_normal = run->cell_norm.gain ? grad_hidden : 0;
    /* through h = o * f_h(c): grad_cell gets its share; where the cell is normalised first, grad_hidden becomes that
       of what the normalisation gave */
    FOR_BLOCKS(from, n, hidden) {
      REAL squashed[BLOCK], slope[BLOCK], seen[BLOCK];
      REAL *dh = grad_hidden + from, *dc = grad_cell + from, *d_o = to_output + from;
      const REAL *o = output + from, *c = cell + from;
      if (run->grad_outputs)
        EACH(n) dh[k] += run->grad_outputs[at * hidden + from + k];
      if (run->grad_cells)
        EACH(n) dc[k] += run->grad_cells[at * hidden + from + k];
      if (of_normal)
        EACH(n)
          seen[k] = run->cell_norm.normal[at * hidden + from + k] * run->cell_norm.gain[from + k] +
                    run->cell_norm.bias[from + k];
      activate(run->activation, n, of_normal ? seen : c, squashed);
      slope_of(run->activation, n, squashed, slope);
      EACH(n) d_o[k] = dh[k] * squashed[k] * o[k] * (1 - o[k]);
      if (of_normal)
        EACH(n) dh[k] *= o[k] * slope[k];
      else
        EACH(n) dc[k] += dh[k] * o[k] * slope[k];
      if (peep)
        EACH(n) dc[k] += d_o[k] * peep[2 * hidden + from + k];
    }
    if (of_normal) {
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
      if (peep)
        EACH(n) dc[k] += di[k] * peep[from + k] + df[k] * peep[hidden + from + k];
    }
    if (run->norm.gain)
      normalise_backward(&run->norm, at, row, width, grads, run->grad_product + at * width);
  }
}

/* ---------------------------------------------------------------- GRU, reset after the product */

typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *gates, *behind, *hiddens; /* gates: reset, keep, new; behind the reset gate, (T, B, H) */
  REAL *grad_outputs, *grad_hidden, *grad_projected, *grad_product;
} Gru;

void gru_forward(const Gru *run, int64_t step, int64_t rows, const REAL *product) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    FOR_BLOCKS(from, n, hidden) {
      const REAL *in = run->projected + at * 3 * hidden + from, *add = product + row * 3 * hidden + from;
      const REAL *old = run->hiddens + at * hidden + from;
      REAL *r = run->gates + at * 3 * hidden + from, *z = r + hidden, *new = z + hidden;
      REAL *behind = run->behind + at * hidden + from;
      REAL *h = run->hiddens + (at + batch) * hidden + from;
      EACH(n) {
        r[k] = in[k] + add[k];
        z[k] = in[hidden + k] + add[hidden + k];
        behind[k] = add[2 * hidden + k];
      }
      sigmoid(n, r);
      sigmoid(n, z);
      EACH(n) new[k] = in[2 * hidden + k] + r[k] * behind[k];
      activate(run->activation, n, new, new);
      EACH(n) h[k] = new[k] + z[k] * (old[k] - new[k]);
    }
  }
}

void gru_backward(const Gru *run, int64_t step, int64_t rows) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
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
}

/* ---------------------------------------------------------------- GRU, reset before the product */

typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *gates, *hiddens, *mask; /* gates (T, B, 3H): reset, keep, new; mask (B, H) or null */
  REAL *resets;                             /* (T, B, H): r * h, what the second product sees */
  REAL *grad_outputs, *grad_hidden, *grad_projected;
} GruBefore;

/* before the second product: reset and keep from the first, and r * h */
void gru_before_forward_gates(const GruBefore *run, int64_t step, int64_t rows, const REAL *product) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *in = run->projected + at * 3 * hidden, *add = product + row * 2 * hidden;
    const REAL *old = run->hiddens + at * hidden;
    REAL *r = run->gates + at * 3 * hidden, *reset = run->resets + at * hidden;
    EACH(2 * hidden) r[k] = in[k] + add[k];
    sigmoid(2 * hidden, r);
    EACH(hidden) reset[k] = r[k] * old[k];
    if (run->mask)
      EACH(hidden) reset[k] *= run->mask[row * hidden + k];
  }
}

void gru_before_forward_new(const GruBefore *run, int64_t step, int64_t rows, const REAL *product) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *in = run->projected + (at * 3 + 2) * hidden, *add = product + row * hidden;
    const REAL *old = run->hiddens + at * hidden, *z = run->gates + (at * 3 + 1) * hidden;
    REAL *new = run->gates + (at * 3 + 2) * hidden, *h = run->hiddens + (at + batch) * hidden;
    EACH(hidden) new[k] = in[k] + add[k];
    activate(run->activation, hidden, new, new);
    EACH(hidden) h[k] = new[k] + z[k] * (old[k] - new[k]);
  }
}

/* keep and new; grad_hidden becomes its share through the keep gate */
void gru_before_backward_new(const GruBefore *run, int64_t step, int64_t rows) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    FOR_BLOCKS(from, n, hidden) {
      REAL slope[BLOCK];
      const REAL *z = run->gates + (at * 3 + 1) * hidden + from, *new = z + hidden;
      const REAL *old = run->hiddens + at * hidden + from;
      REAL *dz = run->grad_projected + (at * 3 + 1) * hidden + from, *dn = dz + hidden;
      REAL *dh = run->grad_hidden + row * hidden + from;
      if (run->grad_outputs)
        EACH(n) dh[k] += run->grad_outputs[at * hidden + from + k];
      slope_of(run->activation, n, new, slope);
      EACH(n) {
        dn[k] = dh[k] * (1 - z[k]) * slope[k];
        dz[k] = dh[k] * (old[k] - new[k]) * z[k] * (1 - z[k]);
        dh[k] *= z[k];
      }
    }
  }
}

/* reset, from the gradient of what the second product saw */
void gru_before_backward_reset(const GruBefore *run, int64_t step, int64_t rows, const REAL *grad_reset) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *r = run->gates + at * 3 * hidden, *old = run->hiddens + at * hidden;
    const REAL *came = grad_reset + row * hidden, *mask = run->mask ? run->mask + row * hidden : 0;
    REAL *dr = run->grad_projected + at * 3 * hidden, *dh = run->grad_hidden + row * hidden;
    EACH(hidden) {
      REAL seen = mask ? came[k] * mask[k] : came[k];
      dr[k] = seen * old[k] * r[k] * (1 - r[k]);
      dh[k] += seen * r[k];
    }
  }
}

/* ---------------------------------------------------------------- simple RNN */

typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *hiddens; /* (T, B, H), (T + 1, B, H) */
  REAL *grad_outputs, *grad_hidden, *grad_sums, *grad_product;
  Norm norm; /* of projected + product; its bias is added here */
} Rnn;

void rnn_forward(const Rnn *run, int64_t step, int64_t rows, const REAL *product) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *in = run->projected + at * hidden, *add = product + row * hidden;
    REAL *h = run->hiddens + (at + batch) * hidden;
    EACH(hidden) h[k] = in[k] + add[k];
    if (run->norm.gain) {
      REAL *normal = run->norm.normal + at * hidden;
      run->norm.scale[at] = normalise(hidden, h, normal);
      EACH(hidden) h[k] = normal[k] * run->norm.gain[k] + run->norm.bias[k];
    }
    activate(run->activation, hidden, h, h);
  }
}

void rnn_backward(const Rnn *run, int64_t step, int64_t rows) {
  const int64_t hidden = run->hidden, batch = run->batch;
  ROWS_IN_PARALLEL
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = step * batch + row;
    const REAL *h = run->hiddens + (at + batch) * hidden, *dh = run->grad_hidden + row * hidden;
    REAL *da = run->grad_sums + at * hidden;
    slope_of(run->activation, hidden, h, da);
    if (run->grad_outputs)
      EACH(hidden) da[k] *= dh[k] + run->grad_outputs[at * hidden + k];
    else
      EACH(hidden) da[k] *= dh[k];
    if (run->norm.gain)
      normalise_backward(&run->norm, at, row, hidden, da, run->grad_product + at * hidden);
  }
}

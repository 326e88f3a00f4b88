/* Layer normalisation. */
typedef struct { /* layer normalisation of (T, B, width); gain is null for cells without it */
  REAL *gain, *bias, *normal, *scale;
  REAL *grad_gain, *grad_bias; /* (B, width), summed over the steps */
} Norm;

/* Normalises one row, normal = (x - mean) / deviation, which the backward pass uses; returns 1 / deviation. */
static REAL normalise(int64_t n, const REAL *x, REAL *normal) {
  REAL sum = 0, squares = 0;
  SUM(sum) for (int64_t k = 0; k < n; k++) sum += x[k];
  const REAL mean = sum / n;
  SUM(squares) for (int64_t k = 0; k < n; k++) { REAL d = x[k] - mean; squares += d * d; }
  const REAL scale = 1 / (REAL)sqrt((double)(squares / n) + 1e-5);
  EACH(n) normal[k] = (x[k] - mean) * scale;
  return scale;
}

/* out = gradient of x from that of gain * normal + bias; at is the index in (T, B), row that in B */
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


/* Threads, loops, and elementwise functions that the compiler can vectorise. */
#ifndef REAL
#define REAL float
#endif
#define BLOCK 256 /* units processed at a time; several blocks fit the L1 cache */

#define PRAGMA(text) _Pragma(#text)
#define EACH(n) PRAGMA(omp simd) for (int64_t k = 0; k < (n); k++) /* no two k touch the same memory */
#define SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__)) /* lets the compiler add in any order */

enum { TANH, RELU, SIGMOID, SOFTSIGN, IDENTITY, ELU, LEAKY_RELU, HARDTANH, SOFTPLUS };

typedef struct {
  int64_t index, count;
} Thread;

#ifdef _OPENMP
int omp_get_thread_num(void);
int omp_get_num_threads(void);
#define THIS_THREAD {omp_get_thread_num(), omp_get_num_threads()}
#define IN_PARALLEL(condition) PRAGMA(omp parallel if (condition))
#define WAIT_FOR_ALL PRAGMA(omp barrier)
#else
#define THIS_THREAD {0, 1}
#define IN_PARALLEL(condition)
#define WAIT_FOR_ALL
#endif

/* vectorisable exp and tanh, within 3 ulp in float */
static inline float exp_f(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  float n = rintf(x * 1.44269504f);
  n = n > -128.0f ? n : 0.0f; /* a valid exponent for NaN, which r propagates */
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

/* exp(x) - 1 without cancellation near 0 */
static inline float expm1_f(float x) {
  float p = 1.9875691500e-4f;
  p = p * x + 1.3981999507e-3f;
  p = p * x + 8.3334519073e-3f;
  p = p * x + 4.1665795894e-2f;
  p = p * x + 1.6666665459e-1f;
  p = p * x + 5.0000001201e-1f;
  float small = p * x * x + x;
  float large = exp_f(x) - 1.0f;
  return fabsf(x) < 0.34f ? small : large;
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
#define EXPM1(x) (sizeof(REAL) == 4 ? (REAL)expm1_f((float)(x)) : (REAL)expm1((double)(x)))
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
  case ELU: EACH(n) y[k] = x[k] > 0 ? x[k] : EXPM1(x[k]); break;
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
  case SOFTPLUS: EACH(n) slope[k] = -EXPM1(-y[k]); break;
  }
}

#define FOR_BLOCKS(from, n, width)                                                                                     \
  for (int64_t from = 0, n; n = width - from < BLOCK ? width - from : BLOCK, from < width; from += BLOCK)


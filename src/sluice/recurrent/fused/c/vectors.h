/* Vectors of the processor, and products of bfloat16 pairs.
 *
 * A pair is two values in bfloat16 that are neighbours in the inner dimension of a product; the first one is the low
 * half of 32 bits. Products take arrays of pairs as arrays of REAL of the same size, which is defined for float only.
 */
#if defined(__AVX512F__)
#define BYTES 64
#define MAX_VECTORS 4
#elif defined(__AVX__)
#define BYTES 32
#define MAX_VECTORS 2
#elif defined(__aarch64__)
#define BYTES 16
#define MAX_VECTORS 4
#else
#define BYTES 16
#define MAX_VECTORS 2
#endif
#define LANES (BYTES / (int)sizeof(REAL))

typedef REAL Vector __attribute__((vector_size(BYTES)));
typedef REAL InMemory __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

#ifdef __AVX512BF16__
#include <immintrin.h>
#define MULTIPLIES_BFLOAT16 1
#else
#define MULTIPLIES_BFLOAT16 0
#endif

typedef uint32_t Bits __attribute__((vector_size(BYTES)));
typedef float Floats __attribute__((vector_size(BYTES)));
typedef uint32_t Pair __attribute__((may_alias)); /* also read as REAL */

/* sum + product of the two values of each pair of x, a single pair, and of the weight */
static inline Vector add_pairs(Vector sum, Vector weight, REAL x) {
#if MULTIPLIES_BFLOAT16
  return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weight, (__m512bh)_mm512_set1_ps((float)x));
#else
  const union { float value; uint32_t bits; } pair = {(float)x};
  const union { uint32_t bits; float value; } low = {pair.bits << 16}, high = {pair.bits & 0xffff0000u};
  const Bits weights = (Bits)weight;
  return (Vector)((Floats)sum + low.value * (Floats)(weights << 16) + high.value * (Floats)(weights & 0xffff0000u));
#endif
}

/* the bits of the nearest bfloat16, ties to even */
static inline uint32_t bfloat16_of(float x) {
  const union { float value; uint32_t bits; } in = {x};
  return x != x ? 0x7fc0u : (in.bits + 0x7fffu + (in.bits >> 16 & 1)) >> 16;
}

/* out ((count + 1) / 2) = pairs of neighbours */
static void pair_neighbours(int64_t count, const REAL *in, Pair *out) {
  EACH(count / 2) out[k] = bfloat16_of((float)in[2 * k]) | bfloat16_of((float)in[2 * k + 1]) << 16;
  if (count % 2)
    out[count / 2] = bfloat16_of((float)in[count - 1]);
}

/* out ((rows + 1) / 2, width) = pairs of two rows of in (rows, width) */
static void pair_rows(int64_t rows, int64_t width, const REAL *in, Pair *out) {
  for (int64_t row = 0; row < rows; row += 2, in += 2 * width, out += width) {
    const REAL *below = in + width;
    if (row + 1 < rows)
      EACH(width) out[k] = bfloat16_of((float)in[k]) | bfloat16_of((float)below[k]) << 16;
    else
      EACH(width) out[k] = bfloat16_of((float)in[k]);
  }
}

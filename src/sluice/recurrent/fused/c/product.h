/* Repeated matrix products with one weight, which is packed once: out = x W^T or x W for many x.
 *
 * A tile of the result, rows x vectors of columns, stays in registers while k runs over the inner dimension. The packed
 * weight stores the values that a tile reads contiguously: for each block of columns, inner x vectors x LANES.
 */
#define MAX_ROWS 6 /* rows x vectors sums, one value of x and the weight vectors fill the registers */

typedef struct {
  int64_t inner, width;
  const REAL *weight;
  int64_t transposed; /* 1: weight is (width, inner); 0: (inner, width) */
  const REAL *bias;   /* (width), added; null for none */
  const REAL *scale;  /* (rows, width), multiplied by; null for none */
  int64_t add;        /* 1: adds to out, 0: overwrites it */
  int64_t pairs;      /* 1: the weight and x are bfloat16 pairs, see vectors.h, and inner is the number of pairs */
  REAL *packed;       /* null: uses the weight unpacked, which requires transposed */
} Product;

typedef struct {
  int64_t first, vectors, columns; /* first column; number of vectors, the last one maybe partial, and of columns */
} Block;

/* first index of a chunk when total items are split evenly into chunks */
static int64_t chunk_start(int64_t total, int64_t chunks, int64_t chunk) { return total * chunk / chunks; }

/* first and end index of a thread's items */
static int64_t thread_start(int64_t total, Thread thread) { return chunk_start(total, thread.count, thread.index); }

static int64_t thread_end(int64_t total, Thread thread) { return chunk_start(total, thread.count, thread.index + 1); }

static int64_t vectors_of(int64_t width) { return (width + LANES - 1) / LANES; }

static int64_t blocks_of(int64_t width) { return (vectors_of(width) + MAX_VECTORS - 1) / MAX_VECTORS; }

static Block block_of(int64_t width, int64_t number) {
  const int64_t from = chunk_start(vectors_of(width), blocks_of(width), number);
  const int64_t to = chunk_start(vectors_of(width), blocks_of(width), number + 1);
  const int64_t first = from * LANES, most = (to - from) * LANES;
  return (Block){first, to - from, width - first < most ? width - first : most};
}

static void pack(const Product *product, Thread thread) {
  const int64_t inner = product->inner, width = product->width, blocks = blocks_of(width);
  if (!product->packed)
    return;
  for (int64_t number = thread_start(blocks, thread); number < thread_end(blocks, thread); number++) {
    const Block block = block_of(width, number);
    const int64_t across = block.vectors * LANES;
    REAL *packed = product->packed + block.first * inner;
    for (int64_t begin = 0; begin < inner; begin += LANES) { /* in blocks that fit the cache */
      const int64_t end = begin + LANES < inner ? begin + LANES : inner;
      for (int64_t column = 0; column < across; column++) {
        const int64_t at = block.first + column;
        for (int64_t k = begin; k < end; k++)
          packed[k * across + column] =
              column >= block.columns ? 0 : product->weight[product->transposed ? at * inner + k : k * width + at];
      }
    }
  }
}

/* out = (sums + bias) * scale, added to out if product->add; row and column are the position in the result */
static __attribute__((noinline)) void store(const Product *product, const REAL *sums, int64_t row, int64_t column,
                                          int64_t columns, REAL *out) {
  const REAL *bias = product->bias, *scale = product->scale;
  if (!bias && !scale && !product->add) {
    memcpy(out, sums, columns * sizeof(REAL));
    return;
  }
  for (int64_t k = 0; k < columns; k++) {
    REAL sum = sums[k];
    if (bias)
      sum += bias[column + k];
    if (scale)
      sum *= scale[row * product->width + column + k];
    out[k] = product->add ? out[k] + sum : sum;
  }
}

/* separate variables instead of arrays of sums and weights, which compilers would not keep in registers */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define BEGIN_ONE(r, v)                                                                                                \
  Vector sum_##r##v = {0};                                                                                             \
  if (rows > r && vectors > v && start)                                                                                \
    sum_##r##v = *(const InMemory *)(start + r * start_stride + v * LANES);
#define BEGIN(r) BEGIN_ONE(r, 0) BEGIN_ONE(r, 1) BEGIN_ONE(r, 2) BEGIN_ONE(r, 3)
#define ADD_TO(r, v)                                                                                                   \
  if (vectors > v)                                                                                                     \
    sum_##r##v = pairs ? add_pairs(sum_##r##v, weight_##v, in) : sum_##r##v + in * weight_##v;
#define ADD(r)                                                                                                         \
  if (rows > r) {                                                                                                      \
    const REAL in = x[r * x_stride + k * x_step];                                                                      \
    ADD_TO(r, 0) ADD_TO(r, 1) ADD_TO(r, 2) ADD_TO(r, 3)                                                                \
  }
#define STORE_ONE(r, v)                                                                                                \
  if (vectors > v)                                                                                                     \
    *(InMemory *)(out + r * out_stride + v * LANES) = sum_##r##v;
#define STORE(r)                                                                                                       \
  if (rows > r) {                                                                                                      \
    STORE_ONE(r, 0) STORE_ONE(r, 1) STORE_ONE(r, 2) STORE_ONE(r, 3)                                                    \
  }
#define WEIGHT(v) const Vector weight_##v = weight[vectors > v ? v : 0];

/* out (rows, vectors) = start + product of x, with element (r, k) at r * x_stride + k * x_step, and a weight whose rows
 * are `stride` apart; start null for 0; rows, vectors, pairs and, for speed, most strides are compile-time constants */
static inline __attribute__((always_inline)) void tile(const int64_t rows, const int64_t vectors,
                                                       const int64_t pairs, int64_t inner, const REAL *packed,
                                                       int64_t stride, const REAL *x, int64_t x_stride,
                                                       int64_t x_step, const REAL *start, int64_t start_stride,
                                                       REAL *out, int64_t out_stride) {
  EACH_ROW(BEGIN)
  for (int64_t k = 0; k < inner; k++) {
    const InMemory *weight = (const InMemory *)(packed + k * stride);
    WEIGHT(0) WEIGHT(1) WEIGHT(2) WEIGHT(3)
    EACH_ROW(ADD)
  }
  EACH_ROW(STORE)
}

/* the cases of a switch over rows * 8 + vectors, each a call with constant sizes */
#define CASE(CALL, r, v)                                                                                               \
  case r * 8 + v:                                                                                                      \
    CALL(r, v);                                                                                                        \
    break;
#if MAX_VECTORS > 2
#define CASES_OF(CALL, r) CASE(CALL, r, 1) CASE(CALL, r, 2) CASE(CALL, r, 3) CASE(CALL, r, 4)
#else
#define CASES_OF(CALL, r) CASE(CALL, r, 1) CASE(CALL, r, 2)
#endif
#define EACH_SIZE(CALL)                                                                                                \
  CASES_OF(CALL, 1) CASES_OF(CALL, 2) CASES_OF(CALL, 3) CASES_OF(CALL, 4) CASES_OF(CALL, 5) CASES_OF(CALL, 6)

#define PACKED_TILE(r, v)                                                                                              \
  tile(r, v, 0, inner, packed, v *LANES, x, x_stride, 1, start, start_stride, out, out_stride)
#define PACKED_PAIRS(r, v)                                                                                             \
  tile(r, v, 1, inner, packed, v *LANES, x, x_stride, 1, start, start_stride, out, out_stride)
static __attribute__((noinline)) void any_tile(int64_t rows, int64_t vectors, int64_t pairs, int64_t inner,
                                               const REAL *packed, const REAL *x, int64_t x_stride, const REAL *start,
                                               int64_t start_stride, REAL *out, int64_t out_stride) {
  if (sizeof(REAL) == sizeof(uint32_t) && pairs)
    switch (rows * 8 + vectors) { EACH_SIZE(PACKED_PAIRS) }
  else
    switch (rows * 8 + vectors) { EACH_SIZE(PACKED_TILE) }
}

/* product with the unpacked weight, for few rows, where packing does not pay off */
static void multiply_unpacked(const Product *product, int64_t rows, const REAL *x, int64_t x_stride, REAL *out,
                              int64_t out_stride, Thread thread) {
  const int64_t inner = product->inner, width = product->width;
  for (int64_t at = thread_start(width, thread); at < thread_end(width, thread); at++)
    for (int64_t row = 0; row < rows; row++) {
      const REAL *weight = product->weight + at * inner, *in = x + row * x_stride;
      REAL sum = 0;
      SUM(sum) for (int64_t k = 0; k < inner; k++) sum += in[k] * weight[k];
      store(product, &sum, row, at, 1, out + row * out_stride + at);
    }
}

/* computes this thread's part of out (rows, width) from x (rows, inner) */
static void multiply(const Product *product, int64_t rows, const REAL *x, int64_t x_stride, REAL *out,
                     int64_t out_stride, Thread thread) {
  if (!product->packed) {
    multiply_unpacked(product, rows, x, x_stride, out, out_stride, thread);
    return;
  }
  const int64_t inner = product->inner, groups = (rows + MAX_ROWS - 1) / MAX_ROWS;
  const int64_t tiles = blocks_of(product->width) * groups;
  const REAL *bias = product->bias;
  REAL sums[MAX_ROWS * MAX_VECTORS * LANES];
  for (int64_t number = thread_start(tiles, thread); number < thread_end(tiles, thread); number++) {
    const int64_t from = chunk_start(rows, groups, number % groups);
    const int64_t to = chunk_start(rows, groups, number % groups + 1);
    const Block block = block_of(product->width, number / groups);
    const int64_t across = block.vectors * LANES;
    const REAL *packed = product->packed + block.first * inner;
    REAL *to_block = out + from * out_stride + block.first;
    if (block.columns == across && !product->scale && !(bias && product->add)) {
      const REAL *start = bias ? bias + block.first : product->add ? to_block : 0;
      any_tile(to - from, block.vectors, product->pairs, inner, packed, x + from * x_stride, x_stride, start,
               bias ? 0 : out_stride, to_block, out_stride);
      continue;
    }
    any_tile(to - from, block.vectors, product->pairs, inner, packed, x + from * x_stride, x_stride, 0, 0, sums,
             across);
    for (int64_t row = from; row < to; row++)
      store(product, sums + (row - from) * across, row, block.first, block.columns,
            out + row * out_stride + block.first);
  }
}

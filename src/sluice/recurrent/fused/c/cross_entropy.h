/* Cross-entropy of softmax(W h + b) and its gradients, without the logits of all rows in memory.
 *
 * Rows are processed in chunks, the words in tiles that fit the cache. For each chunk, a first pass over the tiles
 * computes exp(logit - maximum of the tile), and a second one, when the sum over all tiles is known, the gradients.
 * All matrices of a tile are transposed, (words, rows of the chunk), so that a vector holds one word of many rows.
 * Each phase is a parallel region of its own. Sums depend on the number of parts only, not on the threads.
 * With bfloat16, each factor of the three products is converted to pairs, see vectors.h; sums stay in REAL.
 */
#define TILE_WORDS 128
#define CHUNK_ROWS 384
#define LEAST_PROBABILITY (REAL)1e-30 /* smaller ones count as 0: sums of denormal numbers are slow */

typedef struct {
  int64_t rows, inner, words, parts;    /* N, D, V, number of threads that share the words */
  const REAL *features, *weight, *bias; /* (N, D), (V, D), (V), -inf at excluded words */
  const int64_t *targets, *excluded;    /* (N); ids of words with probability 0 */
  int64_t ignored, excluded_count;      /* target of rows without loss */
  int64_t bfloat16;                     /* 1: the factors of the products are rounded to bfloat16; float only */
  REAL *plain, *smoothed;               /* (N), losses without and with label smoothing */
  int64_t *best;                        /* (N), the first word with the largest logit */
  REAL *grad_features, *grad_weight, *grad_bias; /* null where not needed */
  REAL *scratch;                        /* cross_entropy_scratch values */
  double smoothing, scale;              /* scale: factor of the gradients */
} CrossEntropy;

typedef struct {
  const CrossEntropy *run;
  int64_t first, rows, stride; /* first row; number of rows; the same in whole vectors */
  int64_t tiles;
  Product by_row, by_column; /* products with the features: sums over D, and over rows */
  REAL *exps;                /* (V, stride), null without gradients */
  REAL *maxima, *sums, *totals; /* (tiles, stride): largest logit, sum of exp(logit - largest), sum of logits */
  int32_t *best;                /* (tiles, stride): the word with the largest logit */
  REAL *at_target;              /* (stride): logit of the target */
  REAL *normaliser;             /* (stride): log of the sum of exp(logit) over all words */
  REAL *tiles_of_parts;         /* (parts, TILE_WORDS, stride): logits of a tile, then their gradient */
  REAL *grads;                  /* (parts, D, stride): gradient of the features by part */
  Pair *feature_pairs;          /* pairs of neighbours, then pairs of rows, of the features */
  Pair *pairs_of_parts;         /* (parts, 2, pair_count): pairs of a tile of the weight, and of its gradient */
  int64_t pair_count;
} Chunk;

static int needs_gradient(const CrossEntropy *run) { return run->grad_features || run->grad_weight || run->grad_bias; }

static int is_counted(const CrossEntropy *run, int64_t row) { return run->targets[row] != run->ignored; }

static int64_t padded(int64_t count) { return vectors_of(count) * LANES; }

static int64_t chunks_of(int64_t rows) { return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS; }

static int64_t tiles_of(int64_t words, int64_t parts) {
  const int64_t per_part = (words + TILE_WORDS * parts - 1) / (TILE_WORDS * parts);
  return per_part * parts;
}

static int is_excluded(const CrossEntropy *run, int64_t word) {
  for (int64_t k = 0; k < run->excluded_count; k++)
    if (run->excluded[k] == word)
      return 1;
  return 0;
}

/* divides the scratch of a run into the arrays of its largest chunk; returns the number of values */
static int64_t divide_scratch(const CrossEntropy *run, Chunk *chunk) {
  const int64_t chunks = chunks_of(run->rows), inner = run->inner;
  const int64_t stride = chunks ? padded((run->rows + chunks - 1) / chunks) : 0;
  const int64_t tiles = tiles_of(run->words, run->parts), records = tiles * stride;
  const int64_t stored = needs_gradient(run) ? run->words : 0;
  REAL *scratch = run->scratch;
  chunk->tiles = tiles;
  chunk->exps = scratch_alloc(&scratch, stored * stride);
  chunk->by_row.packed = scratch_alloc(&scratch, stride * inner);
  chunk->by_column.packed = scratch_alloc(&scratch, stride * padded(inner));
  chunk->maxima = scratch_alloc(&scratch, records);
  chunk->sums = scratch_alloc(&scratch, records);
  chunk->totals = scratch_alloc(&scratch, records);
  chunk->best = (int32_t *)scratch_alloc(&scratch, records);
  chunk->at_target = scratch_alloc(&scratch, stride);
  chunk->normaliser = scratch_alloc(&scratch, stride);
  chunk->tiles_of_parts = scratch_alloc(&scratch, run->parts * TILE_WORDS * stride);
  chunk->grads = scratch_alloc(&scratch, run->grad_features ? run->parts * inner * stride : 0);
  const int64_t wider = inner + 1 > stride ? inner + 1 : stride;
  chunk->pair_count = run->bfloat16 ? TILE_WORDS * wider / 2 : 0;
  chunk->feature_pairs = (Pair *)scratch_alloc(&scratch, run->bfloat16 ? stride * (inner + 1) : 0);
  chunk->pairs_of_parts = (Pair *)scratch_alloc(&scratch, 2 * run->parts * chunk->pair_count);
  return (int64_t)(((uintptr_t)scratch - (uintptr_t)run->scratch) / sizeof(REAL));
}

static Chunk chunk_of(const CrossEntropy *run, int64_t number) {
  Chunk chunk = {.run = run};
  divide_scratch(run, &chunk);
  const int64_t chunks = chunks_of(run->rows);
  chunk.first = chunk_start(run->rows, chunks, number);
  chunk.rows = chunk_start(run->rows, chunks, number + 1) - chunk.first;
  chunk.stride = padded(chunk.rows);
  const REAL *features = run->features + chunk.first * run->inner;
  chunk.by_row = (Product){.inner = run->inner, .width = chunk.rows, .weight = features, .transposed = 1,
                           .packed = chunk.by_row.packed};
  chunk.by_column = (Product){.inner = chunk.rows, .width = run->inner, .weight = features, .add = number > 0,
                              .packed = chunk.by_column.packed};
  if (run->bfloat16) {
    chunk.by_row.inner = (run->inner + 1) / 2, chunk.by_column.inner = (chunk.rows + 1) / 2;
    chunk.by_row.weight = (const REAL *)chunk.feature_pairs;
    chunk.by_column.weight = (const REAL *)(chunk.feature_pairs + chunk.rows * chunk.by_row.inner);
    chunk.by_row.pairs = chunk.by_column.pairs = 1;
  }
  return chunk;
}

/* writes the pairs of the features of the chunk */
static void pair_features(const Chunk *chunk) {
  const CrossEntropy *run = chunk->run;
  const REAL *features = run->features + chunk->first * run->inner;
  for (int64_t row = 0; row < chunk->rows; row++)
    pair_neighbours(run->inner, features + row * run->inner, chunk->feature_pairs + row * chunk->by_row.inner);
  pair_rows(chunk->rows, run->inner, features, chunk->feature_pairs + chunk->rows * chunk->by_row.inner);
}

static const Thread ALONE = {0, 1};

/* out (rows, the product's width) from x (rows, count), whose distance is the count; pairs: memory for those of x */
static void multiply_rows(const Product *product, int64_t rows, const REAL *x, int64_t count, Pair *pairs, REAL *out,
                          int64_t out_stride) {
  const int64_t inner = product->inner;
  if (!product->pairs) {
    multiply(product, rows, x, count, out, out_stride, ALONE);
    return;
  }
  for (int64_t row = 0; row < rows; row++)
    pair_neighbours(count, x + row * count, pairs + row * inner);
  multiply(product, rows, (const REAL *)pairs, inner, out, out_stride, ALONE);
}

/* record of a tile's words, and exp(logit - largest logit) in exps, where needed; logits is overwritten */
static void tile_forward(const Chunk *chunk, int64_t number, Pair *pairs, REAL *tile, REAL *exps) {
  const CrossEntropy *run = chunk->run;
  const int64_t stride = chunk->stride, first = chunk_start(run->words, chunk->tiles, number);
  const int64_t words = chunk_start(run->words, chunk->tiles, number + 1) - first;
  REAL *maxima = chunk->maxima + number * stride, *sums = chunk->sums + number * stride;
  REAL *totals = chunk->totals + number * stride;
  int32_t *best = chunk->best + number * stride;
  multiply_rows(&chunk->by_row, words, run->weight + first * run->inner, run->inner, pairs, tile, stride);
  EACH(stride) maxima[k] = -INFINITY, best[k] = first, sums[k] = totals[k] = 0;
  for (int64_t word = 0; word < words; word++) {
    REAL *logits = tile + word * stride;
    const REAL bias = run->bias ? run->bias[first + word] : 0;
    const int32_t id = first + word;
    for (int64_t k = chunk->rows; k < stride; k++)
      logits[k] = 0;
    EACH(stride) {
      const REAL logit = logits[k] + bias;
      best[k] = logit > maxima[k] ? id : best[k];
      maxima[k] = logit > maxima[k] ? logit : maxima[k];
      logits[k] = logit;
    }
    if (run->smoothing && !is_excluded(run, id))
      EACH(stride) totals[k] += logits[k];
  }
  for (int64_t row = 0; row < chunk->rows; row++) {
    const int64_t target = run->targets[chunk->first + row] - first;
    if (target >= 0 && target < words)
      chunk->at_target[row] = tile[target * stride + row];
  }
  EACH(stride) maxima[k] = maxima[k] < -(REAL)1e30 ? -(REAL)1e30 : maxima[k]; /* a tile of excluded words */
  for (int64_t word = 0; word < words; word++) {
    const REAL *logits = tile + word * stride;
    REAL *out = exps ? exps + word * stride : tile;
    EACH(stride) {
      out[k] = EXP(logits[k] - maxima[k]);
      sums[k] += out[k];
    }
  }
}

static void words_forward(const Chunk *chunk, Thread thread) {
  const CrossEntropy *run = chunk->run;
  for (int64_t part = thread_start(run->parts, thread); part < thread_end(run->parts, thread); part++)
    for (int64_t number = chunk_start(chunk->tiles, run->parts, part);
         number < chunk_start(chunk->tiles, run->parts, part + 1); number++) {
      const int64_t first = chunk_start(run->words, chunk->tiles, number);
      REAL *exps = needs_gradient(run) ? chunk->exps + first * chunk->stride : 0;
      tile_forward(chunk, number, chunk->pairs_of_parts + 2 * part * chunk->pair_count,
                   chunk->tiles_of_parts + part * TILE_WORDS * chunk->stride, exps);
    }
}

/* losses of this thread's rows from the records of all tiles */
static void rows_forward(const Chunk *chunk, Thread thread) {
  const CrossEntropy *run = chunk->run;
  const REAL smoothing = run->smoothing, count = run->words - run->excluded_count;
  for (int64_t row = thread_start(chunk->rows, thread); row < thread_end(chunk->rows, thread); row++) {
    REAL largest = -INFINITY, sum = 0, total = 0;
    int64_t best = 0;
    for (int64_t at = row; at < chunk->tiles * chunk->stride; at += chunk->stride) {
      best = chunk->maxima[at] > largest ? chunk->best[at] : best;
      largest = chunk->maxima[at] > largest ? chunk->maxima[at] : largest;
      total += chunk->totals[at];
    }
    for (int64_t at = row; at < chunk->tiles * chunk->stride; at += chunk->stride)
      sum += chunk->sums[at] * EXP(chunk->maxima[at] - largest);
    const int64_t to = chunk->first + row, counted = is_counted(run, to);
    const REAL normaliser = largest + (REAL)log((double)sum);
    const REAL plain = normaliser - chunk->at_target[row];
    chunk->normaliser[row] = normaliser;
    run->plain[to] = counted ? plain : 0;
    run->smoothed[to] = counted ? (1 - smoothing) * plain + smoothing * (normaliser - total / count) : 0;
    run->best[to] = best;
  }
}

/* gradient of the logits of a tile (words, stride) from its exps */
static void tile_gradient(const Chunk *chunk, int64_t number, int64_t first, int64_t words, const REAL *exps,
                          REAL *grads) {
  const CrossEntropy *run = chunk->run;
  const int64_t stride = chunk->stride;
  const REAL smoothing = run->smoothing, scale = run->scale, count = run->words - run->excluded_count;
  REAL scales[CHUNK_ROWS + LANES], spreads[CHUNK_ROWS + LANES];
  for (int64_t row = 0; row < stride; row++) {
    const int64_t counted = row < chunk->rows && is_counted(run, chunk->first + row);
    scales[row] = counted ? scale * EXP(chunk->maxima[number * stride + row] - chunk->normaliser[row]) : 0;
    spreads[row] = counted ? scale * smoothing / count : 0;
  }
  for (int64_t word = 0; word < words; word++) {
    const REAL *in = exps + word * stride;
    REAL *out = grads + word * stride;
    if (smoothing && is_excluded(run, first + word)) {
      memset(out, 0, stride * sizeof(REAL));
      continue;
    }
    EACH(stride) {
      const REAL probability = in[k] * scales[k];
      out[k] = (probability < LEAST_PROBABILITY ? 0 : probability) - spreads[k];
    }
  }
  for (int64_t row = 0; row < chunk->rows; row++) {
    const int64_t target = run->targets[chunk->first + row] - first;
    if (target >= 0 && target < words)
      grads[target * stride + row] -= scale * (1 - smoothing);
  }
}

/* out (D, stride) = or += W^T (D, words) x grads (words, stride); with pairs, words is the number of pairs */
#define STRIDED_TILE(r, v) tile(r, v, 0, words, grads, stride, weight, 1, inner, add ? out : 0, stride, out, stride)
#define STRIDED_PAIRS(r, v) tile(r, v, 1, words, grads, stride, weight, 1, inner, add ? out : 0, stride, out, stride)
static __attribute__((noinline)) void strided_tile(int64_t rows, int64_t vectors, int64_t pairs, int64_t words,
                                                   const REAL *grads, int64_t stride, const REAL *weight,
                                                   int64_t inner, int64_t add, REAL *out) {
  if (sizeof(REAL) == sizeof(uint32_t) && pairs)
    switch (rows * 8 + vectors) { EACH_SIZE(STRIDED_PAIRS) }
  else
    switch (rows * 8 + vectors) { EACH_SIZE(STRIDED_TILE) }
}

static void multiply_weight(const REAL *weight, int64_t inner, int64_t pairs, const REAL *grads, int64_t words,
                            int64_t stride, int64_t add, REAL *out) {
  const int64_t groups = (inner + MAX_ROWS - 1) / MAX_ROWS;
  for (int64_t number = 0; number < blocks_of(stride); number++) {
    const Block block = block_of(stride, number);
    for (int64_t group = 0; group < groups; group++) {
      const int64_t from = chunk_start(inner, groups, group), to = chunk_start(inner, groups, group + 1);
      strided_tile(to - from, block.vectors, pairs, words, grads + block.first, stride, weight + from, inner, add,
                   out + from * stride + block.first);
    }
  }
}

/* gradient of the features (D, stride) of a part from that of the logits of a tile; pairs: memory */
static void features_backward(const Chunk *chunk, int64_t first, int64_t words, const REAL *grads, Pair *pairs,
                              int64_t add, REAL *grad_features) {
  const CrossEntropy *run = chunk->run;
  const int64_t inner = run->inner, stride = chunk->stride;
  const REAL *weight = run->weight + first * inner;
  Pair *grad_pairs = pairs + chunk->pair_count;
  if (!run->bfloat16) {
    multiply_weight(weight, inner, 0, grads, words, stride, add, grad_features);
    return;
  }
  pair_rows(words, inner, weight, pairs);
  pair_rows(words, stride, grads, grad_pairs);
  multiply_weight((const REAL *)pairs, inner, 1, (const REAL *)grad_pairs, (words + 1) / 2, stride, add, grad_features);
}

/* gradients of a tile; `grads` (words, stride) and the pairs are overwritten */
static void tile_backward(const Chunk *chunk, int64_t number, REAL *grads, Pair *pairs, int64_t add,
                          REAL *grad_features) {
  const CrossEntropy *run = chunk->run;
  const int64_t inner = run->inner, stride = chunk->stride, first = chunk_start(run->words, chunk->tiles, number);
  const int64_t words = chunk_start(run->words, chunk->tiles, number + 1) - first;
  tile_gradient(chunk, number, first, words, chunk->exps + first * stride, grads);
  if (run->grad_weight)
    multiply_rows(&chunk->by_column, words, grads, stride, pairs, run->grad_weight + first * inner, inner);
  for (int64_t word = 0; run->grad_bias && word < words; word++) {
    REAL sum = 0;
    SUM(sum) for (int64_t k = 0; k < chunk->rows; k++) sum += grads[word * stride + k];
    run->grad_bias[first + word] = chunk->first ? run->grad_bias[first + word] + sum : sum;
  }
  if (run->grad_features)
    features_backward(chunk, first, words, grads, pairs, add, grad_features);
}

static void words_backward(const Chunk *chunk, Thread thread) {
  const CrossEntropy *run = chunk->run;
  for (int64_t part = thread_start(run->parts, thread); part < thread_end(run->parts, thread); part++) {
    const int64_t from = chunk_start(chunk->tiles, run->parts, part);
    for (int64_t number = from; number < chunk_start(chunk->tiles, run->parts, part + 1); number++)
      tile_backward(chunk, number, chunk->tiles_of_parts + part * TILE_WORDS * chunk->stride,
                    chunk->pairs_of_parts + 2 * part * chunk->pair_count, number > from,
                    chunk->grads + part * run->inner * chunk->stride);
  }
}

/* gradient of this thread's rows of the features: the sum over the parts, transposed */
static void rows_backward(const Chunk *chunk, Thread thread) {
  const CrossEntropy *run = chunk->run;
  const int64_t inner = run->inner, stride = chunk->stride;
  const int64_t from = thread_start(chunk->rows, thread), count = thread_end(chunk->rows, thread) - from;
  REAL *out = run->grad_features + (chunk->first + from) * inner;
  for (int64_t at = 0; at < inner; at++) {
    REAL sums[CHUNK_ROWS];
    EACH(count) sums[k] = 0;
    for (int64_t part = 0; part < run->parts; part++) {
      const REAL *grads = chunk->grads + (part * inner + at) * stride + from;
      EACH(count) sums[k] += grads[k];
    }
    for (int64_t row = 0; row < count; row++)
      out[row * inner + at] = sums[row];
  }
}

int64_t cross_entropy_scratch(const CrossEntropy *run) {
  Chunk chunk;
  return divide_scratch(run, &chunk);
}

/* Computes losses and gradients; returns the number of rows with invalid targets, without results if there are any. */
int64_t cross_entropy(const CrossEntropy *run) {
  int64_t invalid = 0;
  for (int64_t row = 0; row < run->rows; row++)
    invalid += is_counted(run, row) && (run->targets[row] < 0 || run->targets[row] >= run->words);
  for (int64_t number = 0; !invalid && number < chunks_of(run->rows); number++) {
    const Chunk chunk = chunk_of(run, number);
    if (run->bfloat16)
      pair_features(&chunk);
    IN_PARALLEL(run->parts > 1) {
      const Thread thread = THIS_THREAD;
      pack(&chunk.by_row, thread);
      pack(&chunk.by_column, thread);
    }
    IN_PARALLEL(run->parts > 1) words_forward(&chunk, (Thread)THIS_THREAD);
    IN_PARALLEL(run->parts > 1) rows_forward(&chunk, (Thread)THIS_THREAD);
    if (needs_gradient(run))
      IN_PARALLEL(run->parts > 1) words_backward(&chunk, (Thread)THIS_THREAD);
    if (run->grad_features)
      IN_PARALLEL(run->parts > 1) rows_backward(&chunk, (Thread)THIS_THREAD);
  }
  if (run->rows == 0 && run->grad_weight)
    memset(run->grad_weight, 0, run->words * run->inner * sizeof(REAL));
  if (run->rows == 0 && run->grad_bias)
    memset(run->grad_bias, 0, run->words * sizeof(REAL));
  return invalid;
}

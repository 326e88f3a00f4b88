/* Attention of one query per row: scores, softmax, weighted mean of the values, and their gradients.
 *
 * score = v . tanh(query + key), or factor * query . key without v. The rows of a forward pass may share sequences; in
 * a backward pass each row has its own, whose gradients add up over the calls.
 */
#define MIN_PARALLEL_ATTENTION (1L << 16) /* multiplications from which multithreading pays off */

typedef struct {
  int64_t rows, steps, inner, width;                  /* R queries, S steps, K, M */
  int64_t query_stride, context_stride;               /* distance between two rows of queries, of contexts */
  const REAL *queries, *keys, *values, *score;        /* (R, K), (B, S, K), (B, S, M); v (K) or null */
  const uint8_t *mask;                                /* (B, S), 0 at padding */
  const int64_t *sequences;                           /* (R), the sequence of each row; null: row r has sequence r */
  REAL *weights, *context;                            /* (R, S), (R, M) */
  const REAL *grad_context, *grad_weights;            /* as the contexts; (R, S) or null */
  REAL *grad_queries, *grad_keys, *grad_score;        /* (R, K), (B, S, K) added to, (R, K) added to or null */
  REAL *grad_scores;                                  /* (R, S), scratch */
  double factor;
} Attention;

static REAL dot(int64_t n, const REAL *x, const REAL *y) {
  REAL sum = 0;
  SUM(sum) for (int64_t k = 0; k < n; k++) sum += x[k] * y[k];
  return sum;
}

static REAL attention_score(const Attention *run, const REAL *query, const REAL *key) {
  const REAL *score = run->score;
  REAL sum = 0;
  if (!score)
    return (REAL)run->factor * dot(run->inner, query, key);
  SUM(sum) for (int64_t k = 0; k < run->inner; k++) sum += score[k] * TANH_OF(query[k] + key[k]);
  return sum;
}

static void attention_row(const Attention *run, int64_t row) {
  const int64_t steps = run->steps, inner = run->inner, width = run->width;
  const int64_t sequence = run->sequences ? run->sequences[row] : row;
  const uint8_t *mask = run->mask + sequence * steps;
  const REAL *keys = run->keys + sequence * steps * inner, *values = run->values + sequence * steps * width;
  REAL *weights = run->weights + row * steps, *context = run->context + row * run->context_stride;
  REAL largest = -INFINITY, sum = 0;
  for (int64_t step = 0; step < steps; step++) {
    weights[step] = mask[step] ? attention_score(run, run->queries + row * run->query_stride, keys + step * inner) : 0;
    largest = mask[step] && weights[step] > largest ? weights[step] : largest;
  }
  for (int64_t step = 0; step < steps; step++)
    sum += weights[step] = mask[step] ? EXP(weights[step] - largest) : 0;
  memset(context, 0, width * sizeof(REAL));
  for (int64_t step = 0; step < steps; step++) {
    const REAL weight = weights[step] /= sum, *value = values + step * width;
    if (mask[step])
      EACH(width) context[k] += weight * value[k];
  }
}

/* gradients of a row's scores: those of its softmax */
static void softmax_back(const Attention *run, int64_t row, const uint8_t *mask, REAL *grads) {
  const int64_t steps = run->steps;
  const REAL *weights = run->weights + row * steps, *values = run->values + row * steps * run->width;
  const REAL *grad_weights = run->grad_weights ? run->grad_weights + row * steps : 0;
  REAL mean = 0;
  for (int64_t step = 0; step < steps; step++) {
    const REAL *grad_context = run->grad_context + row * run->context_stride;
    grads[step] = mask[step] ? dot(run->width, grad_context, values + step * run->width) : 0;
    grads[step] += grad_weights ? grad_weights[step] : 0;
    mean += weights[step] * grads[step];
  }
  for (int64_t step = 0; step < steps; step++)
    grads[step] = weights[step] * (grads[step] - mean);
}

static void attention_row_back(const Attention *run, int64_t row) {
  const int64_t steps = run->steps, inner = run->inner;
  const uint8_t *mask = run->mask + row * steps;
  const REAL *query = run->queries + row * run->query_stride, *score = run->score;
  REAL *grad_query = run->grad_queries + row * inner, *grads = run->grad_scores + row * steps;
  softmax_back(run, row, mask, grads);
  memset(grad_query, 0, inner * sizeof(REAL));
  for (int64_t step = 0; step < steps; step++) {
    const REAL *key = run->keys + (row * steps + step) * inner, grad = grads[step], scaled = grad * run->factor;
    REAL *grad_key = run->grad_keys + (row * steps + step) * inner;
    if (mask[step] && score) {
      REAL *grad_score = run->grad_score + row * inner;
      EACH(inner) {
        const REAL squashed = TANH_OF(query[k] + key[k]), slope = grad * score[k] * (1 - squashed * squashed);
        grad_score[k] += grad * squashed;
        grad_query[k] += slope;
        grad_key[k] += slope;
      }
    } else if (mask[step]) {
      EACH(inner) {
        grad_query[k] += scaled * key[k];
        grad_key[k] += scaled * query[k];
      }
    }
  }
}

static void each_query(const Attention *run, void (*work)(const Attention *, int64_t)) {
  IN_PARALLEL(run->rows * run->steps * (run->inner + run->width) >= MIN_PARALLEL_ATTENTION) {
    const Thread thread = THIS_THREAD;
    for (int64_t row = thread_start(run->rows, thread); row < thread_end(run->rows, thread); row++)
      work(run, row);
  }
}

void attention_forward(const Attention *run) { each_query(run, attention_row); }

void attention_backward(const Attention *run) { each_query(run, attention_row_back); }

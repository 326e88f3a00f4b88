/* The words with the largest logits of each row, and their log-probabilities.
 *
 * Words are compared in tiles: only a tile whose maximum is above the last word found is read one by one.
 */
#define TILE_LOGITS 64

typedef struct {
  int64_t rows, words, count;  /* R, V; the number of words to find, at most V */
  const REAL *logits;          /* (R, V) */
  REAL *log_probabilities;     /* (R, count), descending; -inf where fewer words have a probability above 0 */
  int64_t *ids;                /* (R, count) */
  REAL *normalisers;           /* (R), log of the sum of exp(logit) */
} TopWords;

/* inserts a word into the descending list; the last one leaves it */
static void insert_word(int64_t count, REAL logit, int64_t id, REAL *logits, int64_t *ids) {
  int64_t at = count - 1;
  for (; at > 0 && logits[at - 1] < logit; at--)
    logits[at] = logits[at - 1], ids[at] = ids[at - 1];
  logits[at] = logit, ids[at] = id;
}

static void find_words(const TopWords *run, const REAL *logits, REAL *found, int64_t *ids) {
  const int64_t count = run->count;
  for (int64_t at = 0; at < count; at++)
    found[at] = -INFINITY, ids[at] = 0;
  for (int64_t first = 0; first < run->words; first += TILE_LOGITS) {
    const int64_t end = run->words - first < TILE_LOGITS ? run->words : first + TILE_LOGITS;
    REAL largest = -INFINITY;
    PRAGMA(omp simd reduction(max : largest))
    for (int64_t word = first; word < end; word++) largest = logits[word] > largest ? logits[word] : largest;
    for (int64_t word = first; largest > found[count - 1] && word < end; word++)
      if (logits[word] > found[count - 1])
        insert_word(count, logits[word], word, found, ids);
  }
}

static void top_row(const TopWords *run, int64_t row) {
  const REAL *logits = run->logits + row * run->words;
  REAL *found = run->log_probabilities + row * run->count, sum = 0;
  find_words(run, logits, found, run->ids + row * run->count);
  const REAL largest = found[0];
  SUM(sum) for (int64_t word = 0; word < run->words; word++) sum += EXP(logits[word] - largest);
  const REAL normaliser = run->normalisers[row] = largest + (REAL)log((double)sum);
  for (int64_t at = 0; at < run->count; at++)
    found[at] -= normaliser;
}

void top_words(const TopWords *run) {
  IN_PARALLEL(run->rows * run->words >= MIN_PARALLEL_WORK) {
    const Thread thread = THIS_THREAD;
    for (int64_t row = thread_start(run->rows, thread); row < thread_end(run->rows, thread); row++)
      top_row(run, row);
  }
}

/* Forward and backward passes of the recurrent cells over all time steps, attention, and the loss and the most
 * probable words of an output layer.
 *
 * Compiled by ../build.py with the user's C compiler, once for each REAL (float, double). The equations are those of
 * the cells in ../../cells; ../lstm.py, ../gru.py and ../rnn.py implement them with torch operations.
 * Layouts: projected, gates (T, B, G*H); hiddens, cells (T + 1, B, H), entry 0 the initial state; product (rows, G*H).
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "elementwise.h"
#include "norm.h"
#include "vectors.h"
#include "product.h"
#include "time_loop.h"

#include "gru.h"
#include "gru_reset_before.h"
#include "lstm.h"
#include "rnn.h"

#include "attention.h"
#include "cross_entropy.h"
#include "top_words.h"

const int64_t vector_bytes = BYTES, multiplies_bfloat16 = MULTIPLIES_BFLOAT16;

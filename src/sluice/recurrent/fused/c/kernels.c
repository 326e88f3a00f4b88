/* Recurrent cells through time, forward and backward.
 *
 * Built by ../native.py with the machine's own C compiler, once for each REAL (float, double). The equations are those
 * of the cells in ../../cells; ../lstm.py, ../gru.py and ../rnn.py do the same with torch alone.
 * Layouts: projected, gates (T, B, G*H); hiddens, cells (T + 1, B, H), entry 0 the initial state; product (rows, G*H).
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "numbers.h"
#include "norm.h"
#include "product.h"
#include "through_time.h"

#include "gru.h"
#include "gru_reset_before.h"
#include "lstm.h"
#include "rnn.h"

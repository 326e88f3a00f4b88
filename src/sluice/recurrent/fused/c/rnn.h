/* The simple RNN, plain and layer-normalised. */
typedef struct {
  int64_t batch, hidden, activation;
  REAL *projected, *hiddens; /* (T, B, H), (T + 1, B, H) */
  REAL *grad_outputs, *grad_hidden, *grad_sums, *grad_product;
  Norm norm; /* of projected + product; its bias is added here */
} Rnn;

static void rnn_row(const void *fields, int64_t at, int64_t row, const REAL *row_product) {
  const Rnn *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch;
  const REAL *in = run->projected + at * hidden;
  REAL *h = run->hiddens + (at + batch) * hidden;
  EACH(hidden) h[k] = in[k] + row_product[k];
  if (run->norm.gain) {
    REAL *normal = run->norm.normal + at * hidden;
    run->norm.scale[at] = normalise(hidden, h, normal);
    EACH(hidden) h[k] = normal[k] * run->norm.gain[k] + run->norm.bias[k];
  }
  activate(run->activation, hidden, h, h);
}

static void rnn_row_back(const void *fields, int64_t at, int64_t row, const REAL *unused) {
  const Rnn *run = fields;
  const int64_t hidden = run->hidden, batch = run->batch;
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

void rnn_forward(const Time *time, const Rnn *run) { run_forward(time, run, rnn_row); }

void rnn_backward(const Time *time, const Rnn *run) { run_backward(time, run, rnn_row_back); }

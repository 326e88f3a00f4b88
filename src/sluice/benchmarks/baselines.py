"""Plain-torch models that the benchmarks compare with: the usual way to write each training step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TiedLanguageModel(nn.Module):
    """nn.Embedding, nn.LSTM, a tied nn.Linear, and cross-entropy over the logits of all tokens at once."""

    def __init__(self, vocab_size: int, size: int, layers: int) -> None:
        """
        Args:
            vocab_size: number of words.
            size: embedding size and hidden size.
            layers: number of LSTM layers.
        """
        super().__init__()
        self.table = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, size, layers, batch_first=True)
        self.output = nn.Linear(size, vocab_size)
        self.output.weight = self.table.weight
        self.optimizer = torch.optim.Adam(self.parameters())

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of (B, T) targets."""
        outputs, _ = self.lstm(self.table(inputs))
        return F.cross_entropy(self.output(outputs).flatten(0, 1), targets.flatten())

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One training step with Adam."""
        self.optimizer.zero_grad()
        self.loss(inputs, targets).backward()
        self.optimizer.step()


class WordLanguageModel(nn.Module):
    """A training step as in word_language_model of pytorch/examples: dropout, log-softmax, clipping, SGD by hand."""

    def __init__(self, vocab_size: int, size: int, layers: int) -> None:
        """
        Args:
            vocab_size: number of words.
            size: embedding size and hidden size.
            layers: number of LSTM layers.
        """
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(vocab_size, size)
        self.rnn = nn.LSTM(size, size, layers, dropout=0.2 if layers > 1 else 0.0)
        self.decoder = nn.Linear(size, vocab_size)

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One training step on (T, B) ids and targets."""
        self.zero_grad()
        outputs, _ = self.rnn(self.drop(self.encoder(inputs)))
        logits = self.decoder(self.drop(outputs)).flatten(0, 1)
        F.nll_loss(F.log_softmax(logits, dim=1), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(self.parameters(), 0.25)
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.data.add_(parameter.grad, alpha=-1e-3)


class AttentionTranslator(nn.Module):
    """A GRU translator with additive attention and input feeding, whose decoder is a Python loop.

    Its encoder reads packed sequences, and label smoothing is a divergence from explicit target distributions, as in
    JoeyNMT (Kreutzer, Bastings & Riezler 2019).
    """

    def __init__(self, source_words: int, target_words: int, embedding: int, units: int) -> None:
        """
        Args:
            source_words: size of the source vocabulary.
            target_words: size of the target vocabulary.
            embedding: size of both embeddings.
            units: hidden units of the encoder, each way, and of the decoder.
        """
        super().__init__()
        self.source = nn.Embedding(source_words, embedding)
        self.target = nn.Embedding(target_words, embedding)
        self.encoder = nn.GRU(embedding, units, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * units, units)
        self.decoder = nn.GRU(embedding + units, units, batch_first=True)
        self.keys = nn.Linear(2 * units, units, bias=False)
        self.query = nn.Linear(units, units, bias=False)
        self.energy = nn.Linear(units, 1, bias=False)
        self.combine = nn.Linear(3 * units, units)
        self.output = nn.Linear(units, target_words, bias=False)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-4)

    def features(self, source: Tensor, source_lengths: Tensor, inputs: Tensor) -> Tensor:
        """Attentional vectors (B, T, units) of target inputs (B, T), given sources (B, S)."""
        packed = pack_padded_sequence(self.source(source), source_lengths, batch_first=True, enforce_sorted=False)
        outputs, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True)
        keys = self.keys(memory)
        steps = torch.arange(memory.shape[1], device=memory.device)
        padding = steps >= source_lengths.to(memory.device).unsqueeze(1)
        state = torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=1))).unsqueeze(0)
        vector = state.new_zeros(len(source), 1, state.shape[2])
        vectors = []
        for embedded in self.target(inputs).split(1, dim=1):
            _, state = self.decoder(torch.cat([embedded, vector], dim=2), state)
            query = state[-1].unsqueeze(1)
            scores = self.energy(torch.tanh(self.query(query) + keys)).squeeze(2)
            weights = scores.masked_fill(padding, float("-inf")).softmax(1)
            context = weights.unsqueeze(1) @ memory
            vector = torch.tanh(self.combine(torch.cat([query, context], dim=2)))
            vectors.append(vector)
        return torch.cat(vectors, dim=1)

    def step(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> None:
        """One training step with Adam and a label smoothing of 0.1; see `benchmarks.seq2seq.Pairs` for the shapes."""
        self.optimizer.zero_grad()
        logits: Tensor = self.output(self.features(source, source_lengths, target[:, :-1]))
        labels = target[:, 1:].flatten()
        expected = torch.full((len(labels), logits.shape[2]), 0.1 / (logits.shape[2] - 2), device=logits.device)
        expected.scatter_(1, labels.unsqueeze(1), 0.9)
        steps = torch.arange(target.shape[1] - 1, device=target.device)
        expected[(steps >= target_lengths.to(target.device).unsqueeze(1)).flatten()] = 0
        log_probs = logits.flatten(0, 1).log_softmax(1)
        (F.kl_div(log_probs, expected, reduction="sum") / int(target_lengths.sum())).backward()
        self.optimizer.step()

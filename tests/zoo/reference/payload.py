"""Decoder of payloads in plain Python, written from the section "Payload" of zoo/bitstream/FORMAT.md alone.

Arrays are nested lists; `row` is the row of arrays whose first axis is L.
"""

WORD = 1 << 32
STATE = 1 << 64
TOTAL = 1 << 24
POWER = [
    268435456, 257054673, 246156398, 235720175, 225726413, 216156353, 206992033, 198216250, 189812531, 181765103,
    174058859, 166679334, 159612677, 152845623, 146365470, 140160054,
]  # fmt: skip


class Refused(Exception):
    """A payload that no encoder writes."""


class RangeDecoder:
    """Follows the encoder too, so as to know how it would end."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.low, self.range = 0, STATE - 1
        self.position = 0
        self.value = self.word() * WORD + self.word()
        self.unbounded = 0
        self.shifted = 0

    def word(self) -> int:
        word = self.payload[self.position : self.position + 4].ljust(4, b"\0")
        self.position += 4
        return int.from_bytes(word, "big")

    def symbol(self, frequencies: list[int]) -> int:
        scale = self.range >> 24
        v = (self.value - self.low) % STATE // scale
        if v >= TOTAL:
            raise Refused
        below = i = 0
        while v >= below + frequencies[i]:
            below += frequencies[i]
            i += 1
        self.low = (self.low + scale * below) % STATE
        self.unbounded += scale * below
        self.range = scale * frequencies[i]
        if self.range < WORD:
            self.low = self.low * WORD % STATE
            self.range *= WORD
            self.value = (self.value * WORD + self.word()) % STATE
            self.unbounded *= WORD
            self.shifted += 1
        return i

    def raw(self, n: int) -> int:
        return self.symbol([TOTAL >> n] * (1 << n))

    def finish(self) -> None:
        for z in range(64, -1, -8):
            v = -(-self.unbounded // 2**z) * 2**z
            if v < self.unbounded + self.range:
                break
        if v.to_bytes(4 * (self.shifted + 2), "big").rstrip(b"\0") != self.payload:
            raise Refused


def decode_scalars(payload, sizes, arrays, row, n_streams, n_frames, q, unsigned=0):
    """Codes [stream][frame][dimension] of a packet."""
    if not n_streams * n_frames * q:
        return [[[] for _ in range(n_frames)] for _ in range(n_streams)]
    bands, base, weights, thresholds, clusters, tokens = (
        arrays[name][row] for name in ("bands", "base", "weights", "thresholds", "clusters", "tokens")
    )
    first, raw_bits = [], []
    magnitude = 0
    while magnitude <= max(1, *(s - 1 if k < unsigned else s // 2 for k, s in enumerate(sizes))):
        first.append(magnitude)
        raw_bits.append(0 if magnitude < 16 else magnitude.bit_length() - 1 - 2)
        magnitude += 2 ** raw_bits[-1]
    coder = RangeDecoder(payload)
    n_bands = [coder.symbol(bands) for _ in range(n_streams)]
    if any(8 * (b - 1) >= q for b in n_bands):
        raise Refused
    token = [[[0] * q for _ in range(n_frames)] for _ in range(n_streams)]

    def m(n, t, k):
        return min(first[token[n][t][k]], 1023) if 0 <= k < q else 0

    distances = [0]
    d = 1
    while d < n_frames:
        distances.insert(1, d)
        d *= 2
    for d in distances:
        frames = range(d, n_frames, 2 * d) if d else [0]
        for parity in (0, 1):
            kind = 2 * (min(d.bit_length(), 3)) + parity
            waiting = []
            for n in range(n_streams):
                for t in frames:
                    for k in range(parity, min(q, 8 * n_bands[n]), 2):
                        feature = [0] * 6
                        if d:
                            last = (n_frames - 1) // (2 * d) * (2 * d)
                            a, b, far_a, far_b = t - d, min(t + d, last), max(t - 3 * d, 0), min(t + 3 * d, last)
                            feature[0] = m(n, a, k) + m(n, b, k)
                            for i in (1, 2):
                                feature[i] = m(n, a, k - i) + m(n, a, k + i) + m(n, b, k - i) + m(n, b, k + i)
                            feature[3] = m(n, far_a, k) + m(n, far_b, k)
                        if parity:
                            feature[4] = m(n, t, k - 1) + m(n, t, k + 1)
                            feature[5] = m(n, t, k - 3) + m(n, t, k + 3)
                        activity = base[kind][k]
                        first_group = 1 if unsigned else 0
                        group = (
                            0
                            if k < unsigned
                            else first_group + (k - unsigned) * (8 - first_group) // (len(sizes) - unsigned)
                        )
                        for i in range(6):
                            activity += weights[kind][group][i] * feature[i]
                        cell = sum(threshold <= activity for threshold in thresholds)
                        waiting.append((clusters[kind][cell], n, t, k))
            decoded = [(n, t, k, coder.symbol(tokens[cluster])) for cluster, n, t, k in sorted(waiting)]
            for n, t, k, i in decoded:
                token[n][t][k] = i
    places = [(n, t, k) for n in range(n_streams) for t in range(n_frames) for k in range(q)]
    number = [[[first[i] for i in frame] for frame in stream] for stream in token]
    for r in range(1, raw_bits[-1] + 1):
        for n, t, k in places:
            if raw_bits[token[n][t][k]] == r:
                number[n][t][k] += coder.raw(r)
    for n, t, k in places:
        if k < unsigned:
            continue
        if number[n][t][k] and coder.raw(1):
            number[n][t][k] *= -1
        number[n][t][k] += sizes[k] // 2
    coder.finish()
    for n in range(n_streams):
        last = 8 * (n_bands[n] - 1)
        if n_bands[n] and not any(token[n][t][k] for t in range(n_frames) for k in range(last, min(last + 8, q))):
            raise Refused
    if not all(0 <= number[n][t][k] < sizes[k] for n, t, k in places):
        raise Refused
    return number


def decode_names(payload, sizes, arrays, n_streams, n_frames, q):
    """Codes [stream][frame][codebook] of a packet."""
    coder = RangeDecoder(payload)
    code = [[[0] * q for _ in range(n_frames)] for _ in range(n_streams)]
    for k in range(q):
        for t in range(n_frames):
            for n in range(n_streams):
                if sizes[k] > 1:
                    i = arrays["frame_clusters"][k][code[n][t - 1][k] if t else -1]
                    j = arrays["code_clusters"][k][code[n][t][k - 1]] if k else 0
                    costs = [a + b for a, b in zip(arrays["frame_costs"][k][i], arrays["code_costs"][k][j][: sizes[k]])]
                    code[n][t][k] = coder.symbol(frequencies(costs))
    coder.finish()
    return code


def frequencies(costs):
    weight = [POWER[cost % 16] >> (cost // 16) for cost in costs]
    f = [1 + w * (TOTAL - len(costs)) // sum(weight) for w in weight]
    f[costs.index(min(costs))] += TOTAL - sum(f)
    return f

"""Decoder of payloads whose symbols are foretold by networks, in plain Python, written from FORMAT.md alone."""

from tests.zoo.reference.payload import RangeDecoder, Refused


def companded(i: int) -> int:
    """8 · log2(1 + i), rounded."""
    return ((1 + i) ** 16).bit_length() // 2


def scores(arrays, prefix, bias, inputs):
    """The scores of a network."""
    hidden = units(arrays, f"{prefix}_hidden", bias, inputs)
    second = units(arrays, f"{prefix}_second", arrays[f"{prefix}_second_bias"], hidden)
    return [sum(w * x for w, x in zip(row, second)) for row in arrays[f"{prefix}_scores"]]


def units(arrays, name, bias, inputs):
    found = []
    for row, b, shift in zip(arrays[name], bias, arrays[f"{name}_shift"]):
        total = b + sum(w * x for w, x in zip(row, inputs))
        found.append(min(max(total >> shift, 0), 511))
    return found


def decode_scalars(payload, sizes, arrays, row, n_streams, n_frames, q, unsigned=0):
    """Codes [stream][frame][dimension] of a packet."""
    if not n_streams * n_frames * q:
        return [[[] for _ in range(n_frames)] for _ in range(n_streams)]
    first, raw_bits = [], []
    magnitude = 0
    while magnitude <= max(1, *(s - 1 if k < unsigned else s // 2 for k, s in enumerate(sizes))):
        first.append(magnitude)
        raw_bits.append(0 if magnitude < 16 else magnitude.bit_length() - 1 - 2)
        magnitude += 2 ** raw_bits[-1]
    coder = RangeDecoder(payload)
    bands = [coder.symbol(arrays["bands"][row]) for _ in range(n_streams)]
    if any(8 * (b - 1) >= q for b in bands):
        raise Refused
    # what is not known yet counts as zero
    token = [[[0] * q for _ in range(n_frames)] for _ in range(n_streams)]
    sign = [[[0] * q for _ in range(n_frames)] for _ in range(n_streams)]
    width = min(q, 8 * max(bands))

    def m(n, t, k):
        return companded(min(first[token[n][t][k]], 1023)) if 0 <= k < width else 0

    def v(n, t, k):
        return m(n, t, k) * sign[n][t][k] if 0 <= k < width else 0

    def below(thresholds, score):
        return sum(threshold <= score for threshold in thresholds)

    def of_dim(k):
        return [known[k] for known in arrays["of_dims"][row]]

    def references(t, d):
        last = (n_frames - 1) // (2 * d) * (2 * d)
        return t - d, min(t + d, last), max(t - 3 * d, 0), min(t + 3 * d, last)

    def inputs(n, t, k, d, parity):
        found = [0] * 21
        if d:
            a, b, far_a, far_b = references(t, d)
            found = [m(n, u, k + i) for u in (a, b) for i in range(-2, 3)]
            found += [m(n, u, k + i) for u in (far_a, far_b) for i in range(-1, 2)]
            for reach in (4, 8):
                found.append(companded(sum(m(n, u, k + i) for u in (a, b) for i in range(-reach, reach + 1))))
            everything = sum(m(n, u, i) for u in (a, b) for i in range(width))
            found.append(companded(min(everything * 8 // len(sizes), 4095)))
            known = range(0, n_frames, 2 * d)
            found.append(companded(16 * sum(m(n, u, k) for u in known) // len(known)))
            found.append(companded(8 * sum(m(n, u, k + i) for u in known for i in (-1, 0, 1)) // len(known)))
        if parity:
            found += [m(n, t, k + i) for i in (-3, -1, 1, 3)]
            evens = [m(n, t, i) if i % 2 == 0 else 0 for i in range(width)]
            found.append(companded(sum(evens[max(k - 8, 0) : k + 9])))
            found.append(companded(min(sum(evens) * 16 // len(sizes), 4095)))
        else:
            found += [0] * 6
        return found + of_dim(k)

    distances = [0]
    d = 1
    while d < n_frames:
        distances.insert(1, d)
        d *= 2
    for d in distances:
        frames = range(d, n_frames, 2 * d) if d else [0]
        for parity in (0, 1):
            kind = 2 * min(d.bit_length(), 3) + parity
            places = [
                (n, t, k)
                for n in range(n_streams)
                for t in frames
                for k in range(parity, min(q, 8 * bands[n]), 2)
            ]  # fmt: skip
            waiting = []
            for n, t, k in places:
                a, b = scores(arrays, "size", arrays["size_bias"][row][kind], inputs(n, t, k, d, parity))
                cell = 12 * below(arrays["first_thresholds"][row], a) + below(arrays["second_thresholds"][row], b)
                waiting.append((arrays["clusters"][row][cell], n, t, k))
            decoded = [(n, t, k, coder.symbol(arrays["tokens"][row][cluster])) for cluster, n, t, k in sorted(waiting)]
            for n, t, k, i in decoded:
                token[n][t][k] = i
            waiting = []
            for n, t, k in places:
                if k < unsigned:
                    sign[n][t][k] = 1
                elif token[n][t][k] and d == 1:
                    around = [v(n, u, k + i) for u in references(t, d) for i in range(-2, 3)]
                    around += [v(n, t, k + i) for i in (-3, -1, 1, 3)]
                    known = [m(n, t, k), *of_dim(k)]
                    bias = arrays["sign_bias"][row][parity]
                    (up,) = scores(arrays, "sign", bias, around + known)
                    (down,) = scores(arrays, "sign", bias, [-x for x in around] + known)
                    waiting.append((below(arrays["sign_thresholds"][row], up - down), n, t, k))
                elif token[n][t][k]:
                    waiting.append((-1, n, t, k))
            decoded = [
                (n, t, k, coder.symbol(arrays["signs"][row][cell]) if cell >= 0 else coder.raw(1))
                for cell, n, t, k in sorted(waiting)
            ]
            for n, t, k, negative in decoded:
                sign[n][t][k] = 1 - 2 * negative
    places = [(n, t, k) for n in range(n_streams) for t in range(n_frames) for k in range(q)]
    number = [[[first[i] for i in frame] for frame in stream] for stream in token]
    for r in range(1, raw_bits[-1] + 1):
        for n, t, k in places:
            if raw_bits[token[n][t][k]] == r:
                number[n][t][k] += coder.raw(r)
    for n, t, k in places:
        number[n][t][k] = number[n][t][k] * sign[n][t][k] + (0 if k < unsigned else sizes[k] // 2)
    coder.finish()
    for n in range(n_streams):
        last = 8 * (bands[n] - 1)
        if bands[n] and not any(token[n][t][k] for t in range(n_frames) for k in range(last, min(last + 8, q))):
            raise Refused
    if not all(0 <= number[n][t][k] < sizes[k] for n, t, k in places):
        raise Refused
    return number

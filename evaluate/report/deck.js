// All versions of a clip run at once on one clock; a switch only turns their gains. So nothing jumps, gaps or drifts.
const FADE_S = 0.004; // time constant of a crossfade, whose two exponentials always add up to one
const STOP_S = 0.03;

class Deck {
  constructor() {
    this.context = null;
    this.buffers = [];
    this.levels = [];
    this.duration = 0;
    this.chosen = 0;
    this.offset = 0; // seconds into the clip, while it stands
    this.startedAt = 0; // on the context's clock: when offset was played
    this.playing = false;
    this.loop = true;
    this.region = null; // [from, to] in seconds
    this.matched = true;
    this.volume = 1;
    this.onstate = () => {};
    this.voices = null;
  }

  /** Decodes all versions; the deck is as it was until they are ready, and stands where it did. False where a later
   * call, or another clip, has overtaken. */
  async load(clip) {
    this.context ??= new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    const token = (this.loading = {});
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
    const buffers = await Promise.all(clip.versions.map((version) => this.context.decodeAudioData(bytes(version.sound))));
    if (token !== this.loading) return false;
    this.stop();
    this.buffers = buffers;
    this.levels = clip.versions.map((version) => 10 ** (version.gain_db / 20));
    this.duration = Math.min(clip.seconds, ...buffers.map((buffer) => buffer.duration));
    this.chosen = Math.min(this.chosen, buffers.length - 1);
    return true;
  }

  get bounds() {
    return this.region ?? [0, this.duration];
  }

  /** Where in the clip the listener is, in seconds. */
  get position() {
    if (!this.voices) return this.offset;
    const at = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    const [from, to] = this.bounds;
    return this.loop && at >= to ? from + ((at - from) % (to - from)) : Math.min(at, to);
  }

  level(i) {
    return i === this.chosen ? (this.matched ? this.levels[i] : 1) : 0;
  }

  async play() {
    if (this.playing || !this.buffers.length) return;
    this.playing = true; // before waiting, so that a second call does not start twice
    this.onstate();
    await this.context.resume();
    if (this.playing && !this.voices) this.start();
  }

  start() {
    const [from, to] = this.bounds;
    if (this.offset < from || this.offset >= to - 0.005) this.offset = from;
    const now = this.context.currentTime;
    const when = now + 0.02;
    const master = this.context.createGain();
    master.gain.setValueAtTime(0, now);
    master.gain.setTargetAtTime(this.volume, when, FADE_S);
    master.connect(this.context.destination);
    const voices = { master, sources: [], gains: [] };
    this.buffers.forEach((buffer, i) => {
      const source = this.context.createBufferSource();
      const gain = this.context.createGain();
      source.buffer = buffer;
      source.loop = this.loop;
      [source.loopStart, source.loopEnd] = [from, to];
      gain.gain.value = this.level(i);
      source.connect(gain).connect(master);
      if (this.loop) source.start(when, this.offset);
      else source.start(when, this.offset, to - this.offset);
      voices.sources.push(source);
      voices.gains.push(gain);
    });
    voices.sources[0].onended = () => {
      if (this.voices !== voices) return;
      this.stop();
      this.offset = this.bounds[0];
      this.onstate();
    };
    this.voices = voices;
    this.startedAt = when;
  }

  /** Silences what plays and remembers where. */
  stop() {
    this.offset = this.position;
    this.playing = false;
    this.release();
    this.onstate();
  }

  release() {
    const voices = this.voices;
    this.voices = null;
    if (!voices) return;
    const now = this.context.currentTime;
    voices.master.gain.cancelScheduledValues(now);
    voices.master.gain.setTargetAtTime(0, now, FADE_S);
    for (const source of voices.sources) source.stop(now + STOP_S);
    setTimeout(() => voices.master.disconnect(), 1000 * STOP_S + 200);
  }

  toggle() {
    if (this.playing) this.stop();
    else this.play();
  }

  /** Goes on from elsewhere: after a seek, or when what is looped has changed. */
  restart(position) {
    this.release();
    this.offset = Math.min(Math.max(position, 0), this.duration);
    if (this.playing) this.start();
  }

  seek(position) {
    const [from, to] = this.bounds;
    if (position < from || position > to) this.region = null;
    this.restart(position);
  }

  setLoop(loop) {
    const position = this.position;
    this.loop = loop;
    this.restart(position);
  }

  setRegion(region) {
    const position = this.position;
    this.region = region;
    this.restart(region ? region[0] : position);
  }

  /** Makes version i the one that is heard; time runs on. */
  choose(i) {
    this.chosen = i;
    this.turn();
  }

  turn() {
    if (!this.voices) return;
    const now = this.context.currentTime;
    this.voices.gains.forEach((gain, i) => gain.gain.setTargetAtTime(this.level(i), now, FADE_S));
  }

  setMatched(matched) {
    this.matched = matched;
    this.turn();
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.voices) this.voices.master.gain.setTargetAtTime(volume, this.context.currentTime, 0.02);
  }
}

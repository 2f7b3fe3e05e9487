/** The dice of one case: the same numbers for the same seed and case, whatever came before. */
import { seeded } from '../support/seeded.ts';

export class Dice {
  readonly #random: () => number;

  constructor(seed: number, index: number) {
    this.#random = seeded(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
    this.#random(); // neighbours begin alike
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }

  /** 1 mostly, and up to `most`. */
  few(most: number): number {
    let count = 1;
    while (count < most && this.chance(0.35)) count += 1;
    return count;
  }
}

/** A change of text, or of bytes as Latin-1. */
export interface Change {
  readonly name: string;
  readonly apply: (text: string, dice: Dice) => string;
}

/** Bytes between which readers of text draw lines and words. */
const ODD = ['\0', '\t', '\v', '\f', '\r', '\n', ' ', ':', '-', '=', '#', '\x7f', '\x85', '\xa0'];

const at = (text: string, dice: Dice): number => dice.below(text.length + 1);

/** Changes that know nothing of what they change. */
export const BYTES: readonly Change[] = [
  {
    name: 'flip a bit',
    apply: (text, dice) => {
      const place = at(text, dice);
      const flipped = (text.charCodeAt(place) || 0) ^ (1 << dice.below(8));
      return text.slice(0, place) + String.fromCharCode(flipped & 0xff) + text.slice(place + 1);
    },
  },
  {
    name: 'put an odd byte in',
    apply: (text, dice) => {
      const place = at(text, dice);
      return text.slice(0, place) + dice.pick(ODD) + text.slice(place);
    },
  },
  {
    name: 'take bytes out',
    apply: (text, dice) => {
      const place = at(text, dice);
      return text.slice(0, place) + text.slice(place + dice.few(40));
    },
  },
  {
    name: 'write odd bytes over',
    apply: (text, dice) => {
      const place = at(text, dice);
      return text.slice(0, place) + dice.pick(ODD) + text.slice(place + 1);
    },
  },
  { name: 'cut the end off', apply: (text, dice) => text.slice(0, at(text, dice)) },
  {
    name: 'repeat a piece',
    apply: (text, dice) => {
      const place = at(text, dice);
      const piece = text.slice(place, place + dice.below(120));
      return text.slice(0, place) + piece + text.slice(place);
    },
  },
];

/** Changes of whole lines. */
export const LINES: readonly Change[] = [
  changeLines('repeat a line', (lines, place) => lines.splice(place, 0, lines[place]!)),
  changeLines('take a line out', (lines, place) => lines.splice(place, 1)),
  changeLines('move a line', (lines, place, dice) =>
    lines.splice(dice.below(lines.length), 0, ...lines.splice(place, 1)),
  ),
  changeLines('put an empty line in', (lines, place) => lines.splice(place, 0, '')),
  changeLines('put a line of blanks in', (lines, place, dice) =>
    lines.splice(place, 0, dice.pick([' ', '\t', ' \t ', '\r', '\v'])),
  ),
  changeLines('put blanks before a line', (lines, place, dice) => {
    lines[place] = dice.pick([' ', '\t', '\r', '\v', '\f', '- ', '-', '#']) + lines[place]!;
  }),
  changeLines('put blanks behind a line', (lines, place, dice) => {
    lines[place] += dice.pick([' ', '\t', '\r', ' \r', '\r ', '\v', '\f', ' '.repeat(20_000)]);
  }),
  changeLines('join two lines', (lines, place) => {
    lines.splice(place, 2, `${lines[place]!}${lines[place + 1] ?? ''}`);
  }),
  { name: 'end lines with CRLF', apply: (text) => text.replaceAll('\n', '\r\n') },
  { name: 'end one line with CR', apply: (text) => text.replace('\n', '\r') },
];

function changeLines(
  name: string,
  change: (lines: string[], place: number, dice: Dice) => unknown,
): Change {
  return {
    name,
    apply: (text, dice) => {
      const lines = text.split('\n');
      change(lines, dice.below(lines.length), dice);
      return lines.join('\n');
    },
  };
}

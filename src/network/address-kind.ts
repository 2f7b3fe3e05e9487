/**
 * What an IP address is, by its number alone. Ranges are those of IANA's special-purpose address
 * registries for IPv4 and IPv6 (RFC 6890; as of 2026). Anything that is not reachable from the
 * whole Internet has a kind, and only the rest is public.
 *
 * An IPv6 address may have an IPv4 address inside that somebody on the way takes out and dials: it
 * is judged by both.
 */
import { isIPv4 } from 'node:net';

/**
 * The first that fits is the kind of an address.
 * - metadata: a service of a cloud that gives credentials to whatever runs on the machine;
 * - link-local: of this link; clouds put services for one machine here;
 * - loopback: this machine;
 * - private: of networks that are somebody's own;
 * - reserved: no host of the Internet has it.
 */
const ADDRESS_KINDS = [
  'metadata',
  'link-local',
  'loopback',
  'private',
  'reserved',
  'public',
] as const;

export type AddressKind = (typeof ADDRESS_KINDS)[number];

interface Range {
  /** The leading bits, as a number. */
  readonly lead: bigint;
  /** How many bits are behind them. */
  readonly behind: bigint;
}

const isIn = (value: bigint, { lead, behind }: Range): boolean => value >> behind === lead;

/** @param cidr `10.0.0.0/8` */
function rangeOf(cidr: string): Range {
  const [address = '', length] = cidr.split('/');
  const behind = BigInt((isIPv4(address) ? 32 : 128) - Number(length));
  return { lead: numberOf(address) >> behind, behind };
}

const rangesOf = (
  kinds: Partial<Record<AddressKind, readonly string[]>>,
): readonly (readonly [Range, AddressKind])[] =>
  ADDRESS_KINDS.flatMap((kind) =>
    (kinds[kind] ?? []).map((cidr) => [rangeOf(cidr), kind] as const),
  );

const IPV4 = rangesOf({
  metadata: [
    '169.254.169.254/32', // Azure, AWS, Google, Oracle, OpenStack, DigitalOcean, Hetzner
    '168.63.129.16/32', // Azure's WireServer, with a public number
    '100.100.100.200/32', // Alibaba
    '169.254.170.2/32', // AWS: credentials of a container
    '169.254.170.23/32', // AWS: credentials of a pod
    '169.254.42.42/32', // Scaleway
    '169.254.0.23/32', // Tencent
    '192.0.0.192/32', // Oracle, before
  ],
  'link-local': ['169.254.0.0/16'], // RFC 3927
  loopback: [
    '127.0.0.0/8', // RFC 1122 §3.2.1.3
    '0.0.0.0/32', // RFC 1122 §3.2.1.3: this host; Linux dials loopback
  ],
  private: [
    '10.0.0.0/8', // RFC 1918
    '172.16.0.0/12', // RFC 1918
    '192.168.0.0/16', // RFC 1918
    '100.64.0.0/10', // RFC 6598: between a provider and its customers; VPNs use it, too
    '198.18.0.0/15', // RFC 2544: laboratories
  ],
  reserved: [
    '0.0.0.0/8', // RFC 791 §3.2: this network
    '192.0.0.0/24', // RFC 6890 §2.1: protocols; those of it that are global serve no files
    '192.0.2.0/24', // RFC 5737: documentation
    '198.51.100.0/24', // RFC 5737: documentation
    '203.0.113.0/24', // RFC 5737: documentation
    '192.88.99.0/24', // RFC 7526: anycast of 6to4, given up
    '224.0.0.0/4', // RFC 5771: multicast
    '240.0.0.0/4', // RFC 1112 §4, and 255.255.255.255 (RFC 919)
  ],
});

const IPV6 = rangesOf({
  metadata: [
    'fd00:ec2::254/128', // AWS
    'fd00:ec2::23/128', // AWS: credentials of a pod
    'fd20:ce::254/128', // Google
    'fd00:42::42/128', // Scaleway
    'fe80::a9fe:a9fe/128', // OpenStack
  ],
  'link-local': ['fe80::/10'], // RFC 4291 §2.5.6
  loopback: [
    '::1/128', // RFC 4291 §2.5.3
    '::/128', // RFC 4291 §2.5.2: unspecified; Linux dials loopback
  ],
  private: [
    'fc00::/7', // RFC 4193
    'fec0::/10', // RFC 3879: of a site, given up, and still routed by some
    '64:ff9b:1::/48', // RFC 8215: NAT64 inside of one network
    '2001:2::/48', // RFC 5180: laboratories
  ],
  reserved: [
    '2001::/23', // RFC 2928: protocols, with Teredo (RFC 4380) and ORCHID (RFC 7343)
    '2001:db8::/32', // RFC 3849: documentation
    '3fff::/20', // RFC 9637: documentation
    '2002::/16', // RFC 3056: 6to4; its relays were given up (RFC 7526)
    // All but 2000::/3, which is all that was given to hosts of the Internet (RFC 4291 §2.4).
    '::/3',
    '4000::/2',
    '8000::/1', // with multicast, ff00::/8 (RFC 4291 §2.7)
  ],
});

/** Such an address is the IPv4 address inside of it, and nothing besides. */
const STANDS_FOR_IPV4: readonly Range[] = [
  rangeOf('::ffff:0:0/96'), // RFC 4291 §2.5.5.2: the system itself dials IPv4
  rangeOf('64:ff9b::/96'), // RFC 6052 §2.1: NAT64 of the Internet
];

/** So many bits of an address, the last of them with so many behind it. */
const bits = (value: bigint, count: bigint, behind: bigint): bigint =>
  (value >> behind) & ((1n << count) - 1n);

/** Where IPv4 addresses may be inside of an IPv6 address. */
const INSIDE: readonly (readonly [Range, (value: bigint) => readonly bigint[]])[] = [
  ...STANDS_FOR_IPV4.map((range) => [range, (value: bigint) => [bits(value, 32n, 0n)]] as const),
  [rangeOf('::/96'), (value) => [bits(value, 32n, 0n)]], // RFC 4291 §2.5.5.1: compatible
  [rangeOf('::ffff:0:0:0/96'), (value) => [bits(value, 32n, 0n)]], // RFC 2765 §2.1: translated
  [rangeOf('2002::/16'), (value) => [bits(value, 32n, 80n)]], // RFC 3056 §2: 6to4
  // RFC 4380 §4: Teredo has the server, and at the end the client with each bit turned.
  [rangeOf('2001::/32'), (value) => [bits(value, 32n, 64n), bits(~value, 32n, 0n)]],
  // RFC 6052 §2.2: where, depends on how long a prefix the network chose: 48, 56, 64 or 96 bits.
  [
    rangeOf('64:ff9b:1::/48'),
    (value) => [
      (bits(value, 16n, 64n) << 16n) | bits(value, 16n, 40n),
      (bits(value, 8n, 64n) << 24n) | bits(value, 24n, 32n),
      bits(value, 32n, 24n),
      bits(value, 32n, 0n),
    ],
  ],
  // RFC 5214 §6.1: ISATAP, behind any prefix.
  [
    rangeOf('::/0'),
    (value) => ((bits(value, 32n, 32n) & ~0x0200_0000n) === 0x5efen ? [bits(value, 32n, 0n)] : []),
  ],
];

/** @param address as `isIP` of node:net takes it, also with a zone (`fe80::1%eth0`) */
export function kindOf(address: string): AddressKind {
  const bare = address.replace(/%.*$/s, '');
  const value = numberOf(bare);
  if (isIPv4(bare)) return worst(kindsOf(value, IPV4));
  const inside = INSIDE.filter(([range]) => isIn(value, range))
    .flatMap(([, read]) => read(value))
    .flatMap((one) => kindsOf(one, IPV4));
  const isIPv4Only = STANDS_FOR_IPV4.some((range) => isIn(value, range));
  return worst(isIPv4Only ? inside : [...inside, ...kindsOf(value, IPV6)]);
}

const kindsOf = (
  value: bigint,
  ranges: readonly (readonly [Range, AddressKind])[],
): AddressKind[] => ranges.flatMap(([range, kind]) => (isIn(value, range) ? [kind] : []));

const worst = (kinds: readonly AddressKind[]): AddressKind =>
  ADDRESS_KINDS.find((kind) => kinds.includes(kind)) ?? 'public';

/** Of 32 bits or of 128. */
function numberOf(address: string): bigint {
  if (isIPv4(address)) return joined(address.split('.').map(Number), 8n);
  // A URL writes every form of an IPv6 address as groups of four hex digits.
  const [head = [], tail = []] = new URL(`http://[${address}]`).hostname
    .slice(1, -1)
    .split('::')
    .map((groups) => groups.split(':').map((group) => Number.parseInt(group || '0', 16)));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0);
  return joined([...head, ...zeros, ...tail], 16n);
}

function joined(parts: readonly number[], width: bigint): bigint {
  return parts.reduce((value, part) => (value << width) | BigInt(part), 0n);
}

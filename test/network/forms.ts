/**
 * Addresses that are not dialled, in the forms that URL parsers, resolvers and networks know; each
 * form here is a URL as an operator, or a redirect, would write it.
 */

export interface Form {
  /** Ends in a port. */
  readonly url: string;
  /** The address that it means. */
  readonly address: string;
  /** The URL is refused as such, before there is an address: credentials, zones, no URL at all. */
  readonly isNoUrl: boolean;
}

/** Refused for every archive. */
export const NEVER = [
  '169.254.169.254',
  '168.63.129.16',
  '100.100.100.200',
  '169.254.170.2',
  '192.0.0.192',
  '169.254.42.42',
  '169.254.1.1',
];
/** Those of them that are of metadata, which sites do not dial either. */
export const METADATA = NEVER.slice(0, -1);
/** Refused without `private_network: true`. */
export const LOOPBACK = ['127.0.0.1', '127.1.2.3', '0.0.0.0'];
const PRIVATE = [
  '10.0.0.5',
  '172.16.0.1',
  '172.31.255.254',
  '192.168.1.1',
  '100.64.0.1',
  '198.18.0.1',
  '192.0.2.1',
  '240.0.0.1',
];

const hex = (number: number, digits = 0): string => number.toString(16).padStart(digits, '0');
const octal = (number: number): string => `0${number.toString(8)}`;
const wide = (text: string): string =>
  text.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
const circled = (text: string): string =>
  text.replaceAll(/[1-9]/g, (digit) => String.fromCodePoint(0x245f + Number(digit)));

/** As a host, of one IPv4 address. */
function spelled(address: string): string[] {
  const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
  const whole = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
  return [
    address,
    `${address}.`,
    `${whole}`,
    `${whole}.`,
    `0x${hex(whole)}`,
    `0X${hex(whole, 10).toUpperCase()}`,
    octal(whole),
    `000${octal(whole)}`,
    [a, b, c, d].map((byte) => `0x${hex(byte)}`).join('.'),
    [a, b, c, d].map(octal).join('.'),
    `0x${hex(a)}.${b}.${octal(c)}.0x000${hex(d)}`,
    `${a}.${b * 2 ** 16 + c * 2 ** 8 + d}`,
    `${a}.${b}.${c * 2 ** 8 + d}`,
    `${octal(a)}.0x${hex(b * 2 ** 16 + c * 2 ** 8 + d)}`,
    address.replaceAll(/\d/g, (digit) => `%3${digit}`),
    address.replaceAll('.', '%2e'),
    address.replaceAll('.', '。'),
    wide(address),
    wide(address).replaceAll('.', '．'),
    circled(address),
    address.replace('.', '\u00ad.'),
    address.replace('.', '\t.'),
    address.replace('.', '.\n'),
  ];
}

/** As an IPv6 address that has this IPv4 address inside. */
function embedded(address: string): string[] {
  const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
  const high = hex(a * 256 + b);
  const low = hex(c * 256 + d);
  const turned = `${hex(0xffff - a * 256 - b)}:${hex(0xffff - c * 256 - d)}`;
  return [
    `::ffff:${address}`,
    `::FFFF:${high}:${low}`,
    `0:0:0:0:0:ffff:${address}`,
    `0000:0000:0000:0000:0000:ffff:${high}:${low}`,
    `::${address}`,
    `::ffff:0:${address}`,
    `64:ff9b::${address}`,
    `0064:FF9B:0:0:0:0:${high}:${low}`,
    `64:ff9b:1::${address}`,
    `64:ff9b:1:1:${hex(a)}:${hex(b * 256 + c)}:${hex(d * 256)}:0`,
    `64:ff9b:1:${hex(a)}:${hex(b)}:${hex(c * 256 + d)}::`,
    `64:ff9b:1:${high}:${hex(c)}:${hex(d * 256)}::`,
    `2002:${high}:${low}::1`,
    `2001:0:${high}:${low}::`,
    `2001:0:7f7f:1:0:0:${turned}`,
    `2a00:1::5efe:${address}`,
    `2a00:1::200:5efe:${high}:${low}`,
  ].map((ipv6) => `[${ipv6}]`);
}

const IPV6 = {
  never: ['fe80::1', 'febf::ffff', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fd00:42::42'],
  private: ['::1', '::', 'fc00::1', 'fdff::1', 'fec0::1', '64:ff9b:1::808:808', '2001:db8::1'],
};
const longForm = (ipv6: string): string => {
  const [head = '', tail = ''] = ipv6.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const zeros = Array.from({ length: 8 - groups(head).length - groups(tail).length }, () => '0000');
  return [...groups(head), ...zeros, ...groups(tail)].join(':');
};

const hostsOfIPv6 = (ipv6: string): string[] => [
  `[${ipv6}]`,
  `[${ipv6.toUpperCase()}]`,
  `[${longForm(ipv6)}]`,
];

function formsOf(address: string, hosts: readonly string[], port: number): Form[] {
  const form = (url: string, isNoUrl = false): Form => ({ url, address, isNoUrl });
  const [host] = hosts;
  return [
    ...hosts.map((one) => form(`http://${one}:${port}`)),
    form(`https://${host}:${port}`),
    form(`HTTP://${host}:${port}/debian/`),
    form(`http:${host}:${port}`),
    form(`http:\\\\${host}:${port}`),
    form(` http:///${host}:${port} `),
    form(`http://deb.debian.org@${host}:${port}`, true),
    form(`http://user:password@${host}:${port}`, true),
  ];
}

/** Refused whatever the archive says: forms of metadata and link-local addresses. */
export const formsOfNever = (port: number): Form[] => [
  ...NEVER.flatMap((one) => formsOf(one, [...spelled(one), ...embedded(one)], port)),
  ...IPV6.never.flatMap((one) => formsOf(one, hostsOfIPv6(one), port)),
  { url: `http://[fe80::1%25lo]:${port}`, address: 'fe80::1', isNoUrl: true },
  { url: `http://[fe80::1%lo]:${port}`, address: 'fe80::1', isNoUrl: true },
];

/** Forms of one IPv4 address alone. */
export const formsOfIPv4 = (address: string, port: number): Form[] =>
  formsOf(address, [...spelled(address), ...embedded(address)], port);

/** Refused without `private_network: true`. */
export const formsOfPrivate = (port: number): Form[] => [
  ...[...LOOPBACK, ...PRIVATE].flatMap((one) => formsOfIPv4(one, port)),
  ...IPV6.private.flatMap((one) => formsOf(one, hostsOfIPv6(one), port)),
  ...['localhost', 'LOCALHOST', 'loc\u00adalhost', 'ｌｏｃａｌｈｏｓｔ', '%6cocalhost'].map(
    (host) => ({ url: `http://${host}:${port}`, address: 'localhost', isNoUrl: false }),
  ),
];

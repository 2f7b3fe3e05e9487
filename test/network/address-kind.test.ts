import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { describe, it } from 'node:test';

import { type AddressKind, kindOf } from '../../src/network/address-kind.ts';
import { seeded } from '../support/seeded.ts';

/** The first and the last of each range, and what is beside it. */
const EDGES: Readonly<Record<AddressKind, readonly string[]>> = {
  metadata: [
    '169.254.169.254',
    '168.63.129.16',
    '100.100.100.200',
    '192.0.0.192',
    'fd00:ec2::254',
    'fd20:ce::254',
    'fe80::a9fe:a9fe',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::',
    'fe80::a9fe:a9fe%eth0',
  ],
  'link-local': [
    '169.254.0.0',
    '169.254.255.255',
    'fe80::',
    'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    'fe80::1%eth0',
    '::ffff:169.254.0.1',
  ],
  loopback: ['127.0.0.0', '127.255.255.255', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1', '::1%lo'],
  private: [
    '10.0.0.0',
    '10.255.255.255',
    '172.16.0.0',
    '172.31.255.255',
    '192.168.0.0',
    '192.168.255.255',
    '100.64.0.0',
    '100.127.255.255',
    '198.18.0.0',
    '198.19.255.255',
    'fc00::',
    'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    'fec0::',
    'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    '64:ff9b:1:ffff:ffff:ffff:ffff:ffff',
    '64:ff9b::192.168.1.1',
    '2a00::5efe:10.0.0.1',
    '2a00::200:5efe:10.0.0.1',
  ],
  reserved: [
    '0.0.0.1',
    '0.255.255.255',
    '192.0.0.0',
    '192.0.2.255',
    '198.51.100.0',
    '203.0.113.255',
    '192.88.99.1',
    '224.0.0.0',
    '255.255.255.255',
    '2001:0:808:808::',
    '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff',
    '2001:db8::',
    '2002:808:808::',
    '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff',
    '::8.8.8.8',
    '::ffff:0:8.8.8.8',
    '100::1',
    '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    '4000::',
    'fbff::',
    'ff02::1',
  ],
  public: [
    '1.0.0.0',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '168.63.129.15',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.31.196.1',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2000::',
    '2001:200::',
    '2001:db7:ffff::',
    '2001:db9::',
    '2003::',
    '3ffe:ffff::',
    '2a00::5eff:10.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ],
};

describe('the kind of an address', () => {
  for (const [kind, addresses] of Object.entries(EDGES))
    it(`is ${kind} up to the edges of its ranges`, () => {
      for (const address of addresses) assert.equal(kindOf(address), kind, address);
    });

  it('is public where the ranges that Node compares say so, too', () => {
    const ipv4 = blockList('ipv4', [
      '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16',
      '172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15',
      '198.51.100.0/24 203.0.113.0/24 224.0.0.0/3',
    ]);
    const ipv6 = blockList('ipv6', [
      '::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3fff::/20',
    ]);
    const random = seeded(1);
    const groups = (count: number, size: number): number[] =>
      Array.from({ length: count }, () => Math.floor(random() * size));
    let refused = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const address = groups(4, 256).join('.');
      const isPublic = kindOf(address) === 'public';
      assert.equal(isPublic, !ipv4.check(address), address);
      refused += isPublic ? 0 : 1;
    }
    assert.ok(refused > 1_000 && refused < 19_000, `${refused}`);
    for (let round = 0; round < 5_000; round += 1) {
      const [first, second, ...rest] = groups(8, 0x10000) as [number, number, ...number[]];
      const near = round % 2 === 0 ? [0x2001, second & 0xfff] : [first, second];
      const address = [...near, ...rest].map((group) => group.toString(16)).join(':');
      assert.equal(kindOf(address) === 'public', !ipv6.check(address, 'ipv6'), address);
    }
  });
});

function blockList(family: 'ipv4' | 'ipv6', lines: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of lines.flatMap((line) => line.split(' '))) {
    const [address, length] = cidr.split('/');
    list.addSubnet(address!, Number(length), family);
  }
  return list;
}

import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import {
  readEnvironment,
  readServerEnvironment,
  setVariables,
} from '../../src/settings/environment.ts';

const DATABASE_URL = 'postgresql://debgeo@127.0.0.1/debgeo';

const reportOf = (read: () => unknown): DebgeoError['report'] => {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof DebgeoError);
    return error.report;
  }
  assert.fail('it was accepted');
};

test('what is unset or empty has its default', () => {
  const cache = join(homedir(), '.cache', 'debgeo');
  const defaults = {
    DEBGEO_LOG_LEVEL: 'info',
    DEBGEO_STOP_MS: 5_000,
    DEBGEO_SLICE_MS: 20_000,
    DEBGEO_SPOOL_DIR: join(cache, 'spool'),
    DEBGEO_DATA_DIR: '.debgeo',
    DEBGEO_CACHE_DIR: cache,
    DEBGEO_TEMPORAL_BINARY: null,
    DEBGEO_SECRETS_DIR: null,
    DEBGEO_ARCHIVES_DIR: null,
    DEBGEO_STORAGE_HOSTS: [],
    HTTP_PROXY: null,
    HTTPS_PROXY: null,
    NO_PROXY: null,
  };
  const empty = Object.fromEntries(Object.keys(defaults).map((name) => [name, '']));

  assert.deepEqual(readEnvironment({}), defaults);
  assert.deepEqual(readEnvironment({ ...empty, XDG_CACHE_HOME: '' }), defaults);
  assert.deepEqual(setVariables({ ...empty, TEMPORAL_ADDRESS: 'a:1' }), {
    TEMPORAL_ADDRESS: 'a:1',
  });
});

test('what is set counts, and caches are below XDG_CACHE_HOME', () => {
  const given = readServerEnvironment({
    DATABASE_URL,
    DEBGEO_LOG_LEVEL: 'silent',
    DEBGEO_STOP_MS: '0',
    DEBGEO_SLICE_MS: '1500',
    DEBGEO_DATA_DIR: 'elsewhere',
    DEBGEO_TEMPORAL_BINARY: '/opt/temporal',
    DEBGEO_SECRETS_DIR: '/run/secrets',
    DEBGEO_ARCHIVES_DIR: '/srv/mirror',
    DEBGEO_STORAGE_HOSTS: 'Azurite:10000, storage.example.org,[::1]:10000',
    HTTP_PROXY: 'HTTP://proxy.example.org:3128',
    HTTPS_PROXY: 'http://unused.example.org',
    https_proxy: 'http://me:p%40ss@proxy.example.org:3128/',
    NO_PROXY: '.example.org,10.0.0.1',
    XDG_CACHE_HOME: '/var/cache',
  });

  assert.deepEqual(given, {
    DATABASE_URL,
    DEBGEO_LOG_LEVEL: 'silent',
    DEBGEO_STOP_MS: 0,
    DEBGEO_SLICE_MS: 1_500,
    DEBGEO_SPOOL_DIR: '/var/cache/debgeo/spool',
    DEBGEO_DATA_DIR: 'elsewhere',
    DEBGEO_CACHE_DIR: '/var/cache/debgeo',
    DEBGEO_TEMPORAL_BINARY: '/opt/temporal',
    DEBGEO_SECRETS_DIR: '/run/secrets',
    DEBGEO_ARCHIVES_DIR: '/srv/mirror',
    DEBGEO_STORAGE_HOSTS: ['azurite:10000', 'storage.example.org', '[::1]:10000'],
    HTTP_PROXY: 'http://proxy.example.org:3128/',
    HTTPS_PROXY: 'http://me:p%40ss@proxy.example.org:3128/',
    NO_PROXY: '.example.org,10.0.0.1',
  });
});

for (const [name, text] of [
  ['HTTP_PROXY', 'me:hush@proxy.example.org:3128'],
  ['http_proxy', 'socks5://me:hush@proxy.example.org'],
  ['HTTPS_PROXY', 'http://me:hush%@proxy.example.org'],
  ['https_proxy', 'http://me:hush@proxy.example.org/path'],
  ['DEBGEO_STORAGE_HOSTS', 'https://storage.example.org'],
  ['DEBGEO_STORAGE_HOSTS', 'storage.example.org/path'],
  ['DEBGEO_STORAGE_HOSTS', 'a,,b'],
] as const)
  test(`${name}=${text} is refused, and no password shown`, () => {
    const report = reportOf(() => readEnvironment({ [name]: text }));

    assert.equal(report.message, `${name.toUpperCase()} is invalid`);
    assert.doesNotMatch(JSON.stringify(report), /hush/);
  });

for (const [name, text] of [
  ['DEBGEO_SLICE_MS', 'abc'],
  ['DEBGEO_SLICE_MS', '20s'],
  ['DEBGEO_STOP_MS', '-1'],
  ['DEBGEO_STOP_MS', '1000000'],
  ['DEBGEO_LOG_LEVEL', 'loud'],
] as const)
  test(`${name}=${text} is refused, with what is expected and what was found`, () => {
    const { code, message, expected, found } = reportOf(() => readEnvironment({ [name]: text }));

    assert.equal(code, 'CONFIG_INVALID');
    assert.equal(message, `${name} is invalid`);
    assert.match(expected!, new RegExp(`^${name}: (milliseconds, 0 to 999999|trace, debug, .+)$`));
    assert.equal(found, `${name}: ${text}`);
  });

test('every fault is told at once, and no password with it', () => {
  const report = reportOf(() =>
    readServerEnvironment({
      DATABASE_URL: 'postgres:hush@h/d',
      DEBGEO_LOG_LEVEL: 'loud',
      DEBGEO_SLICE_MS: 'abc',
    }),
  );

  for (const text of [report.message, report.expected!, report.found!])
    assert.deepEqual(text.match(/\b(DATABASE_URL|DEBGEO_\w+)/g), [
      'DATABASE_URL',
      'DEBGEO_LOG_LEVEL',
      'DEBGEO_SLICE_MS',
    ]);
  assert.doesNotMatch(JSON.stringify(report), /hush/);
});

test('DATABASE_URL is required, and not looked at where a stack is used', () => {
  assert.equal(reportOf(() => readServerEnvironment({})).message, 'DATABASE_URL is not set');
  assert.equal(reportOf(() => readServerEnvironment({ DATABASE_URL: '' })).code, 'CONFIG_INVALID');
  assert.equal(readEnvironment({ DATABASE_URL: 'mysql://other' }).DEBGEO_STOP_MS, 5_000);
});

// The grammar of uuid at its borders.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { uuid } from '../../../src/schema/types.ts';
import { NEVER, accepts, refuses, valueOf } from '../encoding.ts';

const UUID = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
const UUID_HEX = UUID.replaceAll('-', '');

describe('uuid', () => {
  test('four spellings become the same 16 bytes', () => {
    const spellings = [
      UUID,
      UUID.toUpperCase(),
      `{${UUID}}`,
      `{${UUID.toUpperCase()}}`,
      UUID_HEX,
      UUID_HEX.toUpperCase(),
    ];
    for (const spelling of spellings)
      assert.equal(valueOf(uuid(), spelling).toString('hex'), UUID_HEX, spelling);
  });

  test('nil, max and other versions are accepted, as PostgreSQL stores any 128 bits', () => {
    accepts(uuid(), [
      '0'.repeat(32),
      'f'.repeat(32),
      '00000000-0000-0000-0000-000000000000',
      UUID.replace('4ef8', '1ef8'),
    ]);
  });

  test('everything else is refused', () => {
    refuses(uuid(), {
      uuid: [
        ...NEVER,
        UUID.slice(1),
        `${UUID}0`,
        `urn:uuid:${UUID}`,
        ` ${UUID}`,
        `${UUID} `,
        `{${UUID}`,
        `${UUID}}`,
        `(${UUID})`,
        `{${UUID_HEX}}`,
        UUID.replace('a', 'g'),
        UUID.replace('-', '_'),
        `${UUID.slice(0, 35)}-`,
        `-${UUID.slice(1)}`,
        'a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11',
        `${UUID_HEX.slice(0, 31)}g`,
        UUID.replace('0', '０'),
        UUID.replace('9', '\0'),
        'a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11',
        '-'.repeat(36),
        'g'.repeat(32),
        '@'.repeat(32),
        '`'.repeat(32),
        '/'.repeat(32),
        ':'.repeat(32),
      ],
    });
  });

  test('every other byte in the place of a digit is refused', () => {
    for (let byte = 0; byte < 256; byte += 1) {
      const source = Buffer.from(UUID);
      source[10] = byte;
      const fault = uuid().encode(source, 0, 36, { bytes: Buffer.alloc(64), position: 0 });
      const isDigit = /^[0-9a-fA-F]$/.test(String.fromCharCode(byte));
      assert.equal(fault, isDigit ? null : 'uuid', `byte ${byte}`);
    }
  });
});

// The grammar of text at its borders.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { text } from '../../../src/schema/types.ts';
import { NEVER, accepts, refuses, valueOf } from '../encoding.ts';

const NAME = text({ max: 255 });
const EVENT_TYPE = text({ oneOf: ['view', 'purchase', 'add_to_cart', 'remove_from_cart'] });

describe('text', () => {
  test('any text of up to 255 code points is taken as it is, not trimmed', () => {
    for (const value of [
      'a',
      ' ',
      ' a ',
      'NULL',
      '\\N',
      "'; DROP TABLE",
      '=cmd|x',
      'é'.repeat(255),
      '🚲'.repeat(255),
      'x'.repeat(255),
    ])
      assert.equal(valueOf(NAME, value).toString(), value);
  });

  test('one code point more is refused, whatever its width in bytes', () => {
    refuses(NAME, {
      too_long: [
        'x'.repeat(256),
        'é'.repeat(256),
        '🚲'.repeat(256),
        `${'x'.repeat(255)} `,
        'x'.repeat(100_000),
      ],
    });
  });

  test('combining marks count as code points, as PostgreSQL counts', () => {
    accepts(NAME, ['e\u0301'.repeat(127)]);
    refuses(NAME, { too_long: ['e\u0301'.repeat(128)] });
  });

  test('without a limit any length passes', () => {
    assert.equal(valueOf(text(), 'x'.repeat(1_000_000)).length, 1_000_000);
    assert.equal(text().sql, 'character varying');
    assert.equal(NAME.sql, 'character varying(255)');
  });

  test('a closed list takes its values to the byte and nothing else', () => {
    for (const value of ['view', 'purchase', 'add_to_cart', 'remove_from_cart'])
      assert.equal(valueOf(EVENT_TYPE, value).toString(), value);
    refuses(EVENT_TYPE, {
      not_listed: [
        ...NEVER,
        'View',
        'VIEW',
        'view ',
        ' view',
        'views',
        'vie',
        'viev',
        'purchasE',
        'add-to-cart',
        'remove_from_carts',
        'x'.repeat(1000),
      ],
    });
  });

  test('a list may hold several values of one length', () => {
    const type = text({ oneOf: ['aa', 'ab', 'b'] });
    accepts(type, ['aa', 'ab', 'b']);
    refuses(type, { not_listed: ['ba', 'a', 'bb', 'abc'] });
  });

  test('a list whose value cannot fit is a mistake of the definition', () => {
    assert.throws(() => text({ max: 3, oneOf: ['long'] }), TypeError);
    assert.throws(() => text({ oneOf: [''] }), TypeError);
  });
});

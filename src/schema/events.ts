// The e-commerce events: the table of this product, as data. Its column names stand here, in sql/ and in the generator only.

import { defineTable } from './table.ts';
import { integer, numeric, text, timestamp, uuid } from './types.ts';

export const EVENT_TYPES = ['view', 'purchase', 'add_to_cart', 'remove_from_cart'] as const;

export const events = defineTable({
  name: 'events',
  comment:
    'E-commerce events as they arrived in CSV files; each event_id is stored once, the first one committed wins.',
  key: 'event_id',
  columns: [
    {
      name: 'event_id',
      type: uuid(),
      required: true,
      comment:
        'Identity of the event; a second record with the same one is counted as a duplicate and not stored.',
    },
    {
      name: 'event_type',
      type: text({ oneOf: EVENT_TYPES }),
      required: true,
      comment: 'What happened: view, purchase, add_to_cart or remove_from_cart.',
    },
    {
      name: 'product_id',
      type: text({ max: 255 }),
      required: false,
      comment: 'The product that it happened to, as the shop calls it.',
    },
    {
      name: 'user_id',
      type: text({ max: 255 }),
      required: false,
      comment: 'Who did it, as the shop calls them.',
    },
    { name: 'event_timestamp', type: timestamp(), required: true, comment: 'When it happened, in UTC.' },
    {
      name: 'quantity',
      type: integer({ min: 0 }),
      required: false,
      comment: 'How many pieces; 0 or more.',
    },
    {
      name: 'price',
      type: numeric(12, 2, { min: 0 }),
      required: false,
      comment: 'Price of one piece, exact to two decimals; 0 or more.',
    },
  ],
  filled: [
    {
      name: 'created_at',
      sql: 'timestamp without time zone',
      default: "(now() AT TIME ZONE 'UTC')",
      comment:
        'When the row was stored, in UTC whatever the time zone of the session: start of its transaction.',
    },
  ],
  indexes: ['event_type', 'user_id', 'product_id', 'event_timestamp'],
});

export { events as eventsTable };

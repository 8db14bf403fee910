-- The table events, as Millrace creates it when it does not exist. Made from src/schema/events.ts; a test keeps them
-- in step. Not a migration: the table belongs to its user, and one that exists and fits is used as it is.

CREATE TABLE "public"."events" (
  "event_id" uuid NOT NULL,
  "event_type" character varying COLLATE "C" NOT NULL,
  "product_id" character varying(255) COLLATE "C",
  "user_id" character varying(255) COLLATE "C",
  "event_timestamp" timestamp without time zone NOT NULL,
  "quantity" integer,
  "price" numeric(12,2),
  "created_at" timestamp without time zone NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
  PRIMARY KEY ("event_id")
);
COMMENT ON TABLE "public"."events" IS 'E-commerce events as they arrived in CSV files; each event_id is stored once, the first one committed wins.';
COMMENT ON COLUMN "public"."events"."event_id" IS 'Identity of the event; a second record with the same one is counted as a duplicate and not stored.';
COMMENT ON COLUMN "public"."events"."event_type" IS 'What happened: view, purchase, add_to_cart or remove_from_cart.';
COMMENT ON COLUMN "public"."events"."product_id" IS 'The product that it happened to, as the shop calls it.';
COMMENT ON COLUMN "public"."events"."user_id" IS 'Who did it, as the shop calls them.';
COMMENT ON COLUMN "public"."events"."event_timestamp" IS 'When it happened, in UTC.';
COMMENT ON COLUMN "public"."events"."quantity" IS 'How many pieces; 0 or more.';
COMMENT ON COLUMN "public"."events"."price" IS 'Price of one piece, exact to two decimals; 0 or more.';
COMMENT ON COLUMN "public"."events"."created_at" IS 'When the row was stored, in UTC whatever the time zone of the session: start of its transaction.';
CREATE INDEX ON "public"."events" ("event_type");
CREATE INDEX ON "public"."events" ("user_id");
CREATE INDEX ON "public"."events" ("product_id");
CREATE INDEX ON "public"."events" ("event_timestamp");

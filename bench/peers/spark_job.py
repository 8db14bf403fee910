"""The job that Millrace replaces, as a side of the benchmark: CSV files -> dropDuplicates -> JDBC, all that is there, then it ends.

"usual" is what a team writes after reading Spark's guides; "tuned" is what an expert makes of it on one machine. Says "ready" when
the session is up, waits for a line, works, says "done".
"""

import json
import os
import sys

from pyspark.sql import SparkSession

job = json.loads(os.environ["JOB"])
tuned = job["setting"] == "tuned"
cores = len(os.sched_getaffinity(0))

builder = (
    SparkSession.builder.master("local[*]")
    .appName("events")
    .config("spark.jars", job["driver"])
    .config("spark.driver.memory", "2g")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.ui.enabled", "false")
)
if tuned:
    # 200 shuffle partitions, the default, are 200 state stores and 200 small tasks per batch.
    builder = builder.config("spark.sql.shuffle.partitions", str(cores)).config(
        "spark.serializer", "org.apache.spark.serializer.KryoSerializer"
    )
session = builder.getOrCreate()
session.sparkContext.setLogLevel("ERROR")

SCHEMA = (
    "event_id STRING, event_type STRING, product_id STRING, user_id STRING, "
    "event_timestamp TIMESTAMP, quantity INT, price DECIMAL(12,2)"
)
# stringtype: the driver must not call a text a varchar, or it would not go into the uuid column.
url = f"jdbc:postgresql://{job['server']}/{job['database']}?stringtype=unspecified"
options = {"url": url, "dbtable": "events", "user": job["user"], "password": job["password"] or "", "driver": "org.postgresql.Driver"}
if tuned:
    options |= {"batchsize": "10000", "numPartitions": str(cores)}
    options["url"] += "&reWriteBatchedInserts=true"


def write(batch, _number):
    batch.write.format("jdbc").options(**options).mode("append").save()


rows = session.readStream.schema(SCHEMA).option("header", "true").csv(job["input"]).dropDuplicates(["event_id"])
query = rows.writeStream.foreachBatch(write).option("checkpointLocation", job["checkpoint"]).trigger(availableNow=True)

print("ready", flush=True)
sys.stdin.readline()
query.start().awaitTermination()
print("done", flush=True)
session.stop()

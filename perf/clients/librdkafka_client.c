/*
 * Produce, consume, and both at once at a steady rate, with librdkafka.
 *
 *     librdkafka_client produce BROKER TOPIC COUNT RECORD_BYTES PRODUCERS [random|text] [key=value ...]
 *     librdkafka_client consume BROKER TOPIC COUNT [key=value ...]
 *     librdkafka_client latency BROKER TOPIC RATE SECONDS RECORD_BYTES [key=value ...]
 *
 *     COUNT      records in all; of several producers, each with its own connection, every one sends its share
 *     text       values that compress, as log lines do
 *     key=value  configuration of librdkafka
 *
 * produce ends when the last record is acknowledged, and asks the broker whether it holds as many as were sent.
 * consume reads every partition from its beginning, and measures from the first record it gets.
 * latency is from the call of rd_kafka_produce to the record's arrival in the application; the first second is not
 * counted.
 */
#include "measure.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define VALUES_BYTES (4 << 20)
#define WARM_UP_RECORDS 200
#define BATCH_CALL 1000
#define TIMEOUT_MS 120000

static char **settings;
static int settings_count;
static const char *broker_address, *topic_name;
static int64_t failed;

static void fail(const char *what, const char *why) {
        fprintf(stderr, "librdkafka_client: %s: %s\n", what, why);
        exit(1);
}

static void count_failures(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
        (void)client;
        (void)opaque;
        if (message->err)
                __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
        char why[512];
        if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
                fail(key, why);
}

static rd_kafka_t *make_client(rd_kafka_type_t type) {
        char why[512], key[128];
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        set(conf, "bootstrap.servers", broker_address);
        set(conf, "broker.address.family", "v4");
        set(conf, "socket.nagle.disable", "true");
        set(conf, "log_level", "3");
        if (type == RD_KAFKA_PRODUCER) {
                set(conf, "acks", "1");
                set(conf, "delivery.report.only.error", "true");
                rd_kafka_conf_set_dr_msg_cb(conf, count_failures);
        }
        for (int i = 0; i < settings_count; i++) {
                const char *equals = strchr(settings[i], '=');
                if (!equals || (size_t)(equals - settings[i]) >= sizeof(key))
                        fail(settings[i], "expected key=value");
                memcpy(key, settings[i], (size_t)(equals - settings[i]));
                key[equals - settings[i]] = '\0';
                set(conf, key, equals + 1);
        }
        rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
        if (!client)
                fail("rd_kafka_new", why);
        return client;
}

/* Return a topic whose leader is known, and how many partitions it has. */
static rd_kafka_topic_t *open_topic(rd_kafka_t *client, int *partitions) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_topic_t *topic = rd_kafka_topic_new(client, topic_name, NULL);
        rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, TIMEOUT_MS);
        if (error || metadata->topic_cnt != 1 || metadata->topics[0].err || !metadata->topics[0].partition_cnt)
                fail(topic_name, error ? rd_kafka_err2str(error) : "the topic is not there");
        *partitions = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
        return topic;
}

static int64_t records_in_topic(rd_kafka_t *client, int partitions) {
        int64_t total = 0, low, high;
        for (int partition = 0; partition < partitions; partition++) {
                rd_kafka_resp_err_t error =
                    rd_kafka_query_watermark_offsets(client, topic_name, partition, &low, &high, TIMEOUT_MS);
                if (error)
                        fail("offsets", rd_kafka_err2str(error));
                total += high - low;
        }
        return total;
}

/* Values to take slices of: random bytes, or lines whose fields repeat. */
static char *make_values(int text) {
        char *values = malloc(VALUES_BYTES + 256);
        uint64_t random = 88172645463325252ULL;
        for (size_t position = 0; position < VALUES_BYTES;) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                if (text)
                        position += (size_t)snprintf(
                            values + position, 256,
                            "{\"user\":\"u-%06u\",\"event\":\"page_view\",\"path\":\"/products/%04u\",\"ms\":%u,\"ok\":true}\n",
                            (unsigned)(random % 1000000), (unsigned)(random >> 20) % 10000,
                            (unsigned)(random >> 40) % 900);
                else {
                        memcpy(values + position, &random, 8);
                        position += 8;
                }
        }
        return values;
}

struct producer {
        rd_kafka_t *client;
        rd_kafka_topic_t *topic;
        char *values;
        size_t record_bytes;
        int64_t count;
        int partitions;
};

/*
 * Hand over BATCH_CALL records per call, one partition after the other: with a call per record the client, not the
 * broker, would be what is measured. The batches librdkafka makes of them are still those of its settings.
 */
static void send_records(struct producer *producer, int64_t count) {
        size_t position = 0, step = producer->record_bytes;
        rd_kafka_message_t *messages = calloc(BATCH_CALL, sizeof(*messages));
        int partition = 0;
        while (count > 0) {
                int many = count < BATCH_CALL ? (int)count : BATCH_CALL;
                for (int i = 0; i < many; i++) {
                        messages[i].payload = producer->values + position;
                        messages[i].len = step;
                        position += step;
                        if (position + step > VALUES_BYTES)
                                position = 0;
                }
                /* Values stay where they are for as long as the process lives: nothing is copied, nothing freed. */
                if (rd_kafka_produce_batch(producer->topic, partition, RD_KAFKA_MSG_F_BLOCK, messages, many) != many)
                        fail("produce", "records were not taken");
                partition = (partition + 1) % producer->partitions;
                count -= many;
        }
        free(messages);
        rd_kafka_resp_err_t error = rd_kafka_flush(producer->client, TIMEOUT_MS);
        if (error)
                fail("flush", rd_kafka_err2str(error));
}

static void *send_share(void *opaque) {
        struct producer *producer = opaque;
        send_records(producer, producer->count);
        return NULL;
}

static int produce(int64_t count, size_t record_bytes, int producers, int text) {
        struct producer *all = calloc((size_t)producers, sizeof(*all));
        pthread_t *threads = calloc((size_t)producers, sizeof(*threads));
        char *values = make_values(text);
        int partitions = 0;
        for (int i = 0; i < producers; i++) {
                all[i] = (struct producer){.client = make_client(RD_KAFKA_PRODUCER),
                                           .values = values,
                                           .record_bytes = record_bytes,
                                           .count = count / producers};
                all[i].topic = open_topic(all[i].client, &partitions);
                all[i].partitions = partitions;
                send_records(&all[i], WARM_UP_RECORDS);
        }
        await_go();
        double cpu = own_cpu_seconds();
        int64_t begun = now_ns();
        for (int i = 0; i < producers; i++)
                pthread_create(&threads[i], NULL, send_share, &all[i]);
        for (int i = 0; i < producers; i++)
                pthread_join(threads[i], NULL);
        double seconds = (double)(now_ns() - begun) / 1e9;
        cpu = own_cpu_seconds() - cpu;
        int64_t expected = (count / producers + WARM_UP_RECORDS) * producers;
        int64_t held = records_in_topic(all[0].client, partitions);
        if (failed || held != expected) {
                fprintf(stderr, "librdkafka_client: %ld records failed; the topic holds %ld, expected %ld\n", (long)failed,
                        (long)held, (long)expected);
                return 1;
        }
        printf("{\"count\": %ld, \"seconds\": %.6f, \"client_cpu_s\": %.3f}\n", (long)(count / producers * producers),
               seconds, cpu);
        return 0;
}

struct reading {
        int64_t seen, wanted, bytes, first_ns;
        int64_t *times; /* where latencies go, NULL: only count */
        int64_t times_count, times_room, since_ns;
};

static void read_record(rd_kafka_message_t *message, void *opaque) {
        struct reading *reading = opaque;
        if (message->err) {
                if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
                        fail("consume", rd_kafka_message_errstr(message));
                return;
        }
        if (!reading->seen++)
                reading->first_ns = now_ns();
        reading->bytes += (int64_t)message->len;
        if (reading->times) {
                int64_t sent_ns;
                memcpy(&sent_ns, message->payload, sizeof(sent_ns));
                if (sent_ns >= reading->since_ns && reading->times_count < reading->times_room)
                        reading->times[reading->times_count++] = now_ns() - sent_ns;
        }
}

static int consume(int64_t count) {
        struct reading reading = {.wanted = count};
        int partitions = 0;
        rd_kafka_t *client = make_client(RD_KAFKA_CONSUMER);
        rd_kafka_topic_t *topic = open_topic(client, &partitions);
        rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
        await_go();
        double cpu = own_cpu_seconds();
        int64_t begun = now_ns();
        for (int partition = 0; partition < partitions; partition++)
                if (rd_kafka_consume_start_queue(topic, partition, 0, queue))
                        fail("consume", rd_kafka_err2str(rd_kafka_last_error()));
        while (reading.seen < count) {
                if (now_ns() - begun > (int64_t)TIMEOUT_MS * 1000000)
                        fail("consume", "records are missing");
                rd_kafka_consume_callback_queue(queue, 100, read_record, &reading);
        }
        int64_t ended = now_ns();
        printf("{\"count\": %ld, \"seconds\": %.6f, \"first_record_s\": %.6f, \"bytes\": %ld, \"client_cpu_s\": %.3f}\n",
               (long)reading.seen, (double)(ended - reading.first_ns) / 1e9, (double)(reading.first_ns - begun) / 1e9,
               (long)reading.bytes, own_cpu_seconds() - cpu);
        return 0;
}

struct steady_producer {
        rd_kafka_t *client;
        rd_kafka_topic_t *topic;
        size_t record_bytes;
        int64_t rate, count, begin_ns;
};

static void *send_steadily(void *opaque) {
        struct steady_producer *producer = opaque;
        char *value = calloc(1, producer->record_bytes);
        for (int64_t i = 0; i < producer->count; i++) {
                int64_t due = producer->begin_ns + i * 1000000000 / producer->rate;
                struct timespec time = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
                int64_t sent_ns = now_ns();
                memcpy(value, &sent_ns, sizeof(sent_ns));
                if (rd_kafka_produce(producer->topic, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, value,
                                     producer->record_bytes, NULL, 0, NULL))
                        fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        }
        rd_kafka_flush(producer->client, TIMEOUT_MS);
        free(value);
        return NULL;
}

static int latency(int64_t rate, int64_t seconds, size_t record_bytes) {
        int partitions = 0;
        int64_t count = rate * (seconds + 1);
        struct reading reading = {.wanted = count, .times_room = count};
        struct steady_producer producer = {.record_bytes = record_bytes < 8 ? 8 : record_bytes, .rate = rate, .count = count};
        pthread_t thread;
        reading.times = calloc((size_t)count, sizeof(*reading.times));
        /* The settings are for both; librdkafka says on standard error which of them does not concern a client. */
        producer.client = make_client(RD_KAFKA_PRODUCER);
        producer.topic = open_topic(producer.client, &partitions);
        rd_kafka_t *consumer = make_client(RD_KAFKA_CONSUMER);
        rd_kafka_topic_t *topic = open_topic(consumer, &partitions);
        rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer);
        if (rd_kafka_consume_start_queue(topic, 0, 0, queue))
                fail("consume", rd_kafka_err2str(rd_kafka_last_error()));
        await_go();
        double cpu = own_cpu_seconds();
        int64_t begun = now_ns();
        producer.begin_ns = begun;
        reading.since_ns = begun + 1000000000;
        pthread_create(&thread, NULL, send_steadily, &producer);
        while (reading.seen < count) {
                if (now_ns() - begun > (int64_t)TIMEOUT_MS * 1000000 + seconds * 1000000000)
                        fail("latency", "records are missing");
                rd_kafka_consume_callback_queue(queue, 100, read_record, &reading);
        }
        double took = (double)(now_ns() - begun) / 1e9;
        pthread_join(thread, NULL);
        printf("{\"count\": %ld, \"seconds\": %.6f, \"client_cpu_s\": %.3f, ", (long)count, took,
               own_cpu_seconds() - cpu);
        print_percentiles(reading.times, (size_t)reading.times_count);
        puts("}");
        return failed != 0;
}

int main(int argc, char **argv) {
        const char *mode = argc > 4 ? argv[1] : "";
        int arguments = !strcmp(mode, "produce") ? 8 : !strcmp(mode, "consume") ? 5 : !strcmp(mode, "latency") ? 7 : 0;
        if (!arguments || argc < arguments) {
                fprintf(stderr, "usage: librdkafka_client produce|consume|latency BROKER TOPIC ...; see the source\n");
                return 2;
        }
        broker_address = argv[2];
        topic_name = argv[3];
        settings = argv + arguments;
        settings_count = argc - arguments;
        int status = 0;
        if (arguments == 8)
                status = produce(atol(argv[4]), (size_t)atol(argv[5]), atoi(argv[6]), !strcmp(argv[7], "text"));
        else if (arguments == 5)
                status = consume(atol(argv[4]));
        else
                status = latency(atol(argv[4]), atol(argv[5]), (size_t)atol(argv[6]));
        fflush(stdout);
        /* The process ends here and now: taking librdkafka down in order would only cost time. */
        _exit(status);
}

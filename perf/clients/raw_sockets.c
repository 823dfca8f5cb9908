/*
 * A client that costs next to nothing: frames made beforehand are sent over one connection, answers are only checked for
 * their error code.
 *
 *     raw_sockets HOST PORT FRAMES ERROR_POSITION IN_FLIGHT WARM_UP COUNT
 *
 *     FRAMES          file of whole requests, each with its size in front; sent in turn, again and again
 *     ERROR_POSITION  where an answer, counted from its size, holds the error code (int16, 0: none)
 *     IN_FLIGHT       unanswered requests; 1: the next is sent when its predecessor is answered, and each is timed
 *     WARM_UP, COUNT  requests before and while measuring
 */
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_IN_FLIGHT 1000

static int broker;
static char *frames;
static size_t *frame_begin; /* one more than there are frames: the last is the end */
static size_t frame_count, next_frame;
static size_t error_position;
static char answers[1 << 20];
static size_t answers_begin, answers_end;

static void fail(const char *what) {
        fprintf(stderr, "raw_sockets: %s: %s\n", what, errno ? strerror(errno) : "no system error");
        exit(1);
}

static void load_frames(const char *path) {
        FILE *file = fopen(path, "rb");
        size_t size = 0, position = 0, room = 1024;
        if (!file)
                fail(path);
        fseek(file, 0, SEEK_END);
        size = (size_t)ftell(file);
        rewind(file);
        frames = malloc(size);
        frame_begin = malloc((room + 1) * sizeof(*frame_begin));
        if (fread(frames, 1, size, file) != size)
                fail(path);
        fclose(file);
        while (position + 4 <= size) {
                uint32_t length;
                memcpy(&length, frames + position, 4);
                if (frame_count == room)
                        frame_begin = realloc(frame_begin, ((room *= 2) + 1) * sizeof(*frame_begin));
                frame_begin[frame_count++] = position;
                position += 4 + ntohl(length);
        }
        if (position != size || !frame_count)
                fail("the file does not hold whole frames");
        frame_begin[frame_count] = size;
}

static void connect_to(const char *host, const char *port) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
        struct timeval patience = {.tv_sec = 60};
        int on = 1;
        if (getaddrinfo(host, port, &hints, &found))
                fail(host);
        broker = socket(found->ai_family, SOCK_STREAM, 0);
        if (broker < 0 || connect(broker, found->ai_addr, found->ai_addrlen))
                fail("connect");
        freeaddrinfo(found);
        setsockopt(broker, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(broker, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Send the next `count` frames with as few calls as the system takes. */
static void send_frames(size_t count) {
        struct iovec parts[MAX_IN_FLIGHT];
        struct iovec *part = parts;
        for (size_t i = 0; i < count; i++) {
                parts[i].iov_base = frames + frame_begin[next_frame];
                parts[i].iov_len = frame_begin[next_frame + 1] - frame_begin[next_frame];
                next_frame = (next_frame + 1) % frame_count;
        }
        while (count) {
                ssize_t sent = writev(broker, part, (int)count);
                if (sent < 0)
                        fail("send");
                while (count && (size_t)sent >= part->iov_len) {
                        sent -= (ssize_t)part->iov_len;
                        part++;
                        count--;
                }
                if (count) {
                        part->iov_base = (char *)part->iov_base + sent;
                        part->iov_len -= (size_t)sent;
                }
        }
}

/* Return how many whole answers have come, one at least; each is checked. */
static size_t receive_answers(void) {
        size_t count = 0;
        for (;;) {
                while (answers_end - answers_begin >= 4) {
                        uint32_t size;
                        int16_t error;
                        memcpy(&size, answers + answers_begin, 4);
                        size = ntohl(size) + 4;
                        if (size > sizeof(answers) || size < error_position + 2) {
                                errno = 0;
                                fail("an answer of unexpected size");
                        }
                        if (answers_end - answers_begin < size)
                                break;
                        memcpy(&error, answers + answers_begin + error_position, 2);
                        if (error) {
                                fprintf(stderr, "raw_sockets: answered with error %d\n", (int16_t)ntohs((uint16_t)error));
                                exit(1);
                        }
                        answers_begin += size;
                        count++;
                }
                if (count)
                        return count;
                memmove(answers, answers + answers_begin, answers_end - answers_begin);
                answers_end -= answers_begin;
                answers_begin = 0;
                ssize_t got = recv(broker, answers + answers_end, sizeof(answers) - answers_end, 0);
                if (got <= 0)
                        fail("receive");
                answers_end += (size_t)got;
        }
}

static void run(size_t count, size_t in_flight, int64_t *times) {
        size_t sent = 0, answered = 0;
        if (in_flight == 1) {
                for (; answered < count; answered++) {
                        int64_t begun = now_ns();
                        send_frames(1);
                        receive_answers();
                        times[answered] = now_ns() - begun;
                }
                return;
        }
        while (answered < count) {
                size_t more = answered + in_flight < count ? answered + in_flight : count;
                if (more > sent) {
                        send_frames(more - sent);
                        sent = more;
                }
                answered += receive_answers();
        }
}

int main(int argc, char **argv) {
        if (argc != 8) {
                fprintf(stderr, "usage: raw_sockets HOST PORT FRAMES ERROR_POSITION IN_FLIGHT WARM_UP COUNT\n");
                return 2;
        }
        error_position = (size_t)atol(argv[4]);
        size_t in_flight = (size_t)atol(argv[5]), warm_up = (size_t)atol(argv[6]), count = (size_t)atol(argv[7]);
        if (in_flight < 1 || in_flight > MAX_IN_FLIGHT || !count)
                return 2;
        int64_t *times = calloc(count > warm_up ? count : warm_up, sizeof(*times));
        load_frames(argv[3]);
        connect_to(argv[1], argv[2]);
        run(warm_up, in_flight, times);
        await_go();
        double cpu = own_cpu_seconds();
        int64_t begun = now_ns();
        run(count, in_flight, times);
        double seconds = (double)(now_ns() - begun) / 1e9;
        printf("{\"count\": %zu, \"seconds\": %.6f, \"client_cpu_s\": %.3f", count, seconds, own_cpu_seconds() - cpu);
        if (in_flight == 1) {
                printf(", ");
                print_percentiles(times, count);
        }
        puts("}");
        return 0;
}

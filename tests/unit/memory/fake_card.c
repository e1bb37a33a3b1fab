/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of granted memory before a card that is none, on a machine so busy that milliseconds pass between two looks
 * at the clock.  The card answers a READ when somebody waits for it; or, if the connection manager has something to say,
 * only after that was heard.
 */
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ms;

static int busy_clock(struct timespec *now)
{
    clock_ms += 3;
    *now = (struct timespec){.tv_sec = clock_ms / 1000, .tv_nsec = clock_ms % 1000 * 1000000};
    return 0;
}

#define clock_gettime(unused, now) busy_clock(now)
#include "verbs.c"

enum { OUT, IN };
static int card_pipe[2], manager_pipe[2];
static bool more_to_say, answered;
static struct rdma_cm_event said;

static int ring(void)
{
    return write(card_pipe[IN], "", 1) == 1 ? 0 : EIO;
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
    if (!more_to_say || read(channel->fd, &(uint8_t){0}, 1) != 1) {
        errno = EAGAIN; /* a real one would wait for ever */
        return -1;
    }
    more_to_say = false;
    *event = &said;
    return 0;
}

int rdma_ack_cm_event(struct rdma_cm_event *event)
{
    return event == &said ? ring() : EINVAL;
}

const char *rdma_event_str(enum rdma_cm_event_type event)
{
    return event == RDMA_CM_EVENT_DISCONNECTED ? "disconnected" : "something else";
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **queue, void **context)
{
    (void)queue, (void)context;
    answered = read(channel->fd, &(uint8_t){0}, 1) == 1;
    return answered ? 0 : EAGAIN;
}

void ibv_ack_cq_events(struct ibv_cq *queue, unsigned int count)
{
    (void)queue, (void)count;
}

static int take(struct ibv_qp *pair, struct ibv_send_wr *wanted, struct ibv_send_wr **bad)
{
    (void)pair, (void)wanted, (void)bad;
    return 0;
}

static int done(struct ibv_cq *queue, int most, struct ibv_wc *one)
{
    (void)queue, (void)most;
    *one = (struct ibv_wc){.wr_id = UNDER_WAY - 1, .status = IBV_WC_SUCCESS};
    return answered ? 1 : 0;
}

static int notify(struct ibv_cq *queue, int solicited)
{
    (void)queue, (void)solicited;
    return more_to_say ? 0 : ring();
}

/* What becomes of one READ; `event`: what the connection manager says meanwhile, or -1.  "": it was answered. */
const char *read_once(int event)
{
    static struct tv_connection c;
    static uint8_t room[UNDER_WAY * PIECE];
    struct ibv_context card = {.ops = {.post_send = take, .poll_cq = done, .req_notify_cq = notify}};
    struct ibv_qp pair = {.context = &card};
    struct ibv_cq queue = {.context = &card};
    struct ibv_mr region = {0};
    if (pipe(card_pipe) || pipe(manager_pipe)) {
        return strerror(errno);
    }
    more_to_say = event >= 0 && write(manager_pipe[IN], "", 1) == 1;
    said.event = (enum rdma_cm_event_type)event;
    answered = false;
    struct rdma_event_channel manager = {.fd = manager_pipe[OUT]};
    struct ibv_comp_channel bell = {.fd = card_pipe[OUT]};
    struct rdma_cm_id id = {.qp = &pair, .send_cq = &queue, .send_cq_channel = &bell};
    c = (struct tv_connection){.news = &manager, .id = &id, .region = &region, .room = room};
    tv_read(&c, 1, 1, &(uint64_t){4096}, &(uint64_t){8}, (uint8_t[8]){0});
    for (int end = OUT; end <= IN; end++) {
        close(card_pipe[end]);
        close(manager_pipe[end]);
    }
    return c.wrong;
}

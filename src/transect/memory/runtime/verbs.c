/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA READs of a machine that granted its memory, by this machine's RDMA card: one connection, some READs under way.
 *
 * Every wait ends, if only by `WAIT_MS`.  What goes wrong is said in words, and then the connection is of no more use.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    UNDER_WAY = 16,
    PIECE = 1 << 16,
    WAIT_MS = 5000, /* for the target to connect, or for one answer */
    ANSWER = 16,    /* 4 us times two to this power, 0.27 s, until the card asks again */
    TRIES = 6,      /* then; soft-RoCE takes 7 for: for ever */
};

struct tv_connection {
    struct rdma_event_channel *news;
    struct rdma_cm_id *id;
    struct ibv_mr *region;
    uint8_t *room; /* PIECE bytes of each READ */
    uint8_t *into[UNDER_WAY];
    uint32_t size[UNDER_WAY];
    char wrong[160];
};

static bool tv_fails(struct tv_connection *c, const char *what, const char *why)
{
    snprintf(c->wrong, sizeof c->wrong, "%s: %s", what, why);
    return false;
}

static int64_t tv_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How many RDMA cards there are. */
int tv_devices(void)
{
    int count = 0;
    struct ibv_device **all = ibv_get_device_list(&count);
    if (all != NULL) {
        ibv_free_device_list(all);
    }
    return count;
}

/* Waits until one of the descriptors has something, which `revents` says.  It looks once, however late it is. */
static bool tv_wait(struct pollfd *any, nfds_t count, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - tv_now();
        int ready = poll(any, count, left > 0 ? (int)left : 0);
        if (ready >= 0 || errno != EINTR) {
            return ready > 0;
        }
    }
}

/* The connection manager's next news is what it must be. */
static bool tv_expect(struct tv_connection *c, enum rdma_cm_event_type wanted, const char *what, int64_t deadline)
{
    struct rdma_cm_event *event;
    struct pollfd news = {.fd = c->news->fd, .events = POLLIN};
    if (!tv_wait(&news, 1, deadline)) {
        return tv_fails(c, what, "no answer in time");
    }
    if (rdma_get_cm_event(c->news, &event)) {
        return tv_fails(c, what, strerror(errno));
    }
    bool right = event->event == wanted;
    if (!right) {
        tv_fails(c, what, rdma_event_str(event->event));
    }
    rdma_ack_cm_event(event);
    return right;
}

static bool tv_path(struct tv_connection *c, uint32_t host, uint16_t port, int64_t deadline)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = host}};
    c->news = rdma_create_event_channel();
    if (c->news == NULL || rdma_create_id(c->news, &c->id, NULL, RDMA_PS_TCP)) {
        return tv_fails(c, "the connection manager (modprobe rdma_ucm)", strerror(errno));
    }
    const char *what = "no RDMA card leads there";
    if (rdma_resolve_addr(c->id, NULL, (struct sockaddr *)&there, WAIT_MS)) {
        return tv_fails(c, what, strerror(errno));
    }
    if (!tv_expect(c, RDMA_CM_EVENT_ADDR_RESOLVED, what, deadline)) {
        return false;
    }
    if (rdma_resolve_route(c->id, WAIT_MS)) {
        return tv_fails(c, what, strerror(errno));
    }
    return tv_expect(c, RDMA_CM_EVENT_ROUTE_RESOLVED, what, deadline);
}

static bool tv_connect(struct tv_connection *c, uint32_t host, uint16_t port)
{
    struct ibv_qp_init_attr wanted = {
        .cap = {.max_send_wr = UNDER_WAY, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
        .qp_type = IBV_QPT_RC,
        .sq_sig_all = 1,
    };
    struct rdma_conn_param terms = {.initiator_depth = RDMA_MAX_INIT_DEPTH, .retry_count = TRIES};
    uint8_t answer = ANSWER;
    int64_t deadline = tv_now() + WAIT_MS;
    if (!tv_path(c, host, port, deadline)) {
        return false;
    }
    if (rdma_create_qp(c->id, NULL, &wanted)) {
        return tv_fails(c, "a queue pair", strerror(errno));
    }
    c->room = aligned_alloc(4096, (size_t)UNDER_WAY * PIECE);
    c->region = c->room == NULL ? NULL : rdma_reg_msgs(c->id, c->room, (size_t)UNDER_WAY * PIECE);
    if (c->region == NULL) {
        return tv_fails(c, "memory for answers (ulimit -l)", strerror(errno));
    }
    if (rdma_set_option(c->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &answer, sizeof answer)) {
        return tv_fails(c, "the time for an answer", strerror(errno));
    }
    const char *what = "the target does not accept the connection";
    if (rdma_connect(c->id, &terms)) {
        return tv_fails(c, what, strerror(errno));
    }
    return tv_expect(c, RDMA_CM_EVENT_ESTABLISHED, what, deadline);
}

/* To an IPv4 address as it goes over the network.  NULL: there is no memory.  Whether it is connected says `tv_wrong`. */
struct tv_connection *tv_open(uint32_t host, uint16_t port)
{
    struct tv_connection *c = calloc(1, sizeof *c);
    if (c != NULL) {
        tv_connect(c, host, port);
    }
    return c;
}

/* Why nothing can be read any more; "": it can. */
const char *tv_wrong(const struct tv_connection *c)
{
    return c->wrong;
}

/* The card stops before its memory goes.  The kernel takes leave of the target for us, and does not wait for it. */
void tv_close(struct tv_connection *c)
{
    if (c->id != NULL) {
        if (c->id->qp != NULL) {
            rdma_destroy_qp(c->id);
        }
        if (c->region != NULL) {
            rdma_dereg_mr(c->region);
        }
        rdma_destroy_id(c->id);
    }
    if (c->news != NULL) {
        rdma_destroy_event_channel(c->news);
    }
    free(c->room);
    free(c);
}

static bool tv_ask(struct tv_connection *c, uint32_t slot, uint64_t address, uint32_t key)
{
    uint8_t *room = c->room + (size_t)slot * PIECE;
    void *number = (void *)(uintptr_t)slot;
    return rdma_post_read(c->id, number, room, c->size[slot], c->region, 0, address, key)
               ? tv_fails(c, "a READ", strerror(errno))
               : true;
}

/*
 * What the connection manager has to say of a connection that is in use.  False: it has ended.
 *
 * Since Linux 6.0 it tells, too, when the hardware address of the target changes; the card goes on trying, and says by
 * itself whether it still reaches the target.
 */
static bool tv_heard(struct tv_connection *c)
{
    struct rdma_cm_event *event;
    char why[96];
    if (rdma_get_cm_event(c->news, &event)) {
        return tv_fails(c, "a READ", strerror(errno));
    }
    bool goes_on = event->event == RDMA_CM_EVENT_UNREACHABLE || event->event == RDMA_CM_EVENT_ADDR_CHANGE;
    const char *name = rdma_event_str(event->event);
    snprintf(why, sizeof why, "the connection has ended (%s, status %d)", name, event->status);
    rdma_ack_cm_event(event);
    return goes_on || tv_fails(c, "a READ", why);
}

/* Waits until the card has something, or the connection manager, which may mean that the connection has ended. */
static bool tv_sleep(struct tv_connection *c, int64_t deadline)
{
    enum { CARD, NEWS };
    struct ibv_comp_channel *card = c->id->send_cq_channel;
    struct pollfd both[] = {[CARD] = {.fd = card->fd, .events = POLLIN}, [NEWS] = {.fd = c->news->fd, .events = POLLIN}};
    struct ibv_cq *queue;
    void *unused;
    if (!tv_wait(both, 2, deadline)) {
        return tv_fails(c, "a READ", "no answer in time");
    }
    if (!both[CARD].revents) {
        return tv_heard(c);
    }
    if (ibv_get_cq_event(card, &queue, &unused)) {
        return tv_fails(c, "a READ", strerror(errno));
    }
    ibv_ack_cq_events(queue, 1);
    return true;
}

static bool tv_take(struct tv_connection *c, uint32_t *slot)
{
    struct ibv_wc done;
    int64_t deadline = tv_now() + WAIT_MS;
    int found;
    bool told = false; /* we shall be */
    while ((found = ibv_poll_cq(c->id->send_cq, 1, &done)) == 0) {
        if (told && !tv_sleep(c, deadline)) {
            return false;
        }
        told = !told;
        if (told && ibv_req_notify_cq(c->id->send_cq, 0)) {
            return tv_fails(c, "a READ", strerror(errno));
        }
    }
    if (found < 0) {
        return tv_fails(c, "a READ", "the card's queue cannot be read");
    }
    if (done.status != IBV_WC_SUCCESS) {
        return tv_fails(c, "a READ", ibv_wc_status_str(done.status));
    }
    *slot = (uint32_t)done.wr_id;
    memcpy(c->into[*slot], c->room + (size_t)*slot * PIECE, c->size[*slot]);
    return true;
}

/* Reads `count` stretches of the target's memory, one behind the other into `into`.  False: see `tv_wrong`. */
bool tv_read(struct tv_connection *c, uint32_t key, uint32_t count, const uint64_t *addresses, const uint64_t *sizes,
             uint8_t *into)
{
    uint32_t next = 0, slot, left = UNDER_WAY, free_slots[UNDER_WAY];
    uint64_t done = 0;
    for (uint32_t i = 0; i < UNDER_WAY; i++) {
        free_slots[i] = i;
    }
    while (next < count || left < UNDER_WAY) {
        if (next < count && left > 0) {
            uint64_t size = sizes[next] - done;
            slot = free_slots[--left];
            c->size[slot] = size < PIECE ? (uint32_t)size : PIECE;
            c->into[slot] = into;
            if (!tv_ask(c, slot, addresses[next] + done, key)) {
                return false;
            }
            into += c->size[slot];
            done += c->size[slot];
            if (done == sizes[next]) {
                next++;
                done = 0;
            }
        } else {
            if (!tv_take(c, &slot)) {
                return false;
            }
            free_slots[left++] = slot;
        }
    }
    return true;
}

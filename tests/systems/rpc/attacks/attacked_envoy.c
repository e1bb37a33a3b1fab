/* SPDX-License-Identifier: Apache-2.0 */
/* The attack list against a module, in the host that plays Envoy: attacked_envoy FILE STREAMING.
 *
 * FILE holds for each attack: u32 headers; for each u32 size and bytes of its name, then of its value; u32 size and bytes of
 * the body; u32 most bytes of a piece.  A line for each says what reached the server, in hexadecimal.
 */
#define main random_streams
#include "fake_envoy.c"
#undef main

static FILE *input;

static uint32_t u32(void) {
    uint32_t n;
    if (fread(&n, sizeof n, 1, input) != 1) exit(0); /* the last attack is over */
    return n;
}

static char *bytes(uint32_t size) {
    char *found = malloc(size + 1u); /* of its very size but for the end of a text, so that a look beyond is seen */
    CHECK(found && fread(found, 1, size, input) == size);
    found[size] = 0;
    return found;
}

static void attack(const void *config, int streaming, uint32_t headers) {
    struct filter *f = calloc(1, sizeof *f);
    struct map *map = &f->maps[REQUEST_HEADERS];
    f->status = -1;
    f->declared = streaming;
    f->aborted = 1; /* nobody knows what the reply ought to be */
    f->module = HOOK(http_filter_new)(config, f);
    map->there = 1;
    for (uint32_t i = 0; i < headers; i++) {
        CHECK(map->count < NAMES);
        map->names[map->count] = bytes(u32());
        map->values[map->count++] = bytes(u32());
    }
    uint32_t size = u32();
    char *body = bytes(size);
    uint32_t piece = u32();
    int status = HOOK(http_filter_request_headers)(f, f->module, false);
    f->request.headers_gone = f->request.moving = status == HEADERS_CONTINUE;
    f->request.stopped = !f->request.moving;
    for (uint32_t at = 0; !f->over && (at < size || !f->request.ended);) {
        uint32_t next = size - at < piece ? size - at : piece;
        char *one = malloc(next + 1u);
        memcpy(one, body + at, next);
        at += next;
        deliver(f, 0, one, next, at == size);
        free(one);
        run_events();
    }
    for (int i = 0; !f->over && i < 1000; i++) {
        server_step(f);
        settle(f);
        run_events();
    }
    for (size_t i = 0; i < f->request.out.size; i++) printf("%02x", (unsigned char)f->request.out.data[i]);
    printf(" %d\n", f->status);
    while (!f->dead) settle((f->over = 1, f));
    run_events();
    free(body);
    end(f);
}

int main(int argc, char **argv) {
    CHECK(argc == 3 && strcmp(HOOK(program_init)(), ENVOY_ABI_VERSION) == 0);
    int streaming = argv[2][0] == '1';
    const char *settings = streaming ? "streaming /demo.Echo/Chat\nmax_message 4194304" : "max_message 4194304";
    const void *config = HOOK(http_filter_config_new)(NULL, text(""), text(settings));
    CHECK(config);
    input = fopen(argv[1], "rb");
    for (;;) attack(config, streaming, u32());
}

// SPDX-License-Identifier: Apache-2.0
// Nanoseconds a message: `driver ours|libprotobuf ROUNDS FILE`.  Both sides read all four fields of every message.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "four.pb.h"

extern "C" uint64_t read_ours(const uint8_t *data, uint32_t size);

static uint64_t read_libprotobuf(const std::string &data) {
    static four::Ask ask;
    if (!ask.ParseFromArray(data.data(), static_cast<int>(data.size()))) return 1;
    return ask.user().size() + 3 * ask.key().size() + static_cast<uint64_t>(ask.cost()) * 7 + ask.body().size() * 11;
}

static double seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int main(int, char **argv) {
    bool ours = std::strcmp(argv[1], "ours") == 0;
    long rounds = std::atol(argv[2]);
    std::vector<std::string> messages;
    FILE *file = std::fopen(argv[3], "rb");
    uint32_t size;
    while (std::fread(&size, 4, 1, file) == 1) {
        std::string one(size, '\0');
        if (std::fread(one.data(), 1, size, file) != size) return 2;
        messages.push_back(one);
    }
    std::fclose(file);
    uint64_t sum = 0;
    double start = seconds();
    for (long round = 0; round < rounds; round++)
        for (const std::string &m : messages)
            sum += ours ? read_ours(reinterpret_cast<const uint8_t *>(m.data()), static_cast<uint32_t>(m.size())) : read_libprotobuf(m);
    double each = (seconds() - start) / static_cast<double>(rounds) / static_cast<double>(messages.size());
    std::printf("%.3f %llu\n", each * 1e9, static_cast<unsigned long long>(sum / static_cast<uint64_t>(rounds)));
    return 0;
}

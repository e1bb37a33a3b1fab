// SPDX-License-Identifier: Apache-2.0
// The peer of the measured clients: an echo service on libgrpc++.  Prints its port, and serves until its stdin closes.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>

#include "echo.grpc.pb.h"

class Echo final : public bench::Echo::Service {
    static void answer(const bench::Ask &ask, bench::Answer *answer) {
        answer->set_text(ask.text());
        answer->set_number(ask.number());
    }

    grpc::Status Say(grpc::ServerContext *, const bench::Ask *ask, bench::Answer *reply) override {
        answer(*ask, reply);
        return grpc::Status::OK;
    }

    grpc::Status Chat(grpc::ServerContext *, grpc::ServerReaderWriter<bench::Answer, bench::Ask> *stream) override {
        bench::Ask ask;
        bench::Answer reply;
        while (stream->Read(&ask)) {
            answer(ask, &reply);
            if (!stream->Write(reply)) break;
        }
        return grpc::Status::OK;
    }
};

int main() {
    Echo service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server) return 1;
    std::printf("%d\n", port);
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    server->Shutdown();
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// An echo server, and a client that calls several servers in turn, over raw bytes: load SERVER-PORT | load CALLS ROUNDS BODY PORT…
// The client prints one line a round and port: the median latency in microseconds.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

class Echo : public grpc::ServerGenericBidiReactor {
   public:
    Echo() { StartRead(&message_); }
    void OnReadDone(bool ok) override {
        if (ok) StartWriteAndFinish(&message_, {}, grpc::Status::OK);
        else Finish(grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    grpc::ByteBuffer message_;
};

class Service : public grpc::CallbackGenericService {
    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override { return new Echo; }
};

int serve(const char* port) {
    Service service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(std::string("127.0.0.1:") + port, grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(&service);
    auto server = builder.BuildAndStart();
    if (!server) return 1;
    std::puts("serving");
    std::fflush(stdout);
    server->Wait();
    return 0;
}

double call(grpc::GenericStub& stub, const grpc::ByteBuffer& body) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    grpc::ByteBuffer reply;
    grpc::Status status;
    void* tag;
    bool ok;
    auto began = std::chrono::steady_clock::now();
    auto rpc = stub.PrepareUnaryCall(&context, "/t.Echo/Echo", body, &queue);
    rpc->StartCall();
    rpc->Finish(&reply, &status, &tag);
    queue.Next(&tag, &ok);
    if (!status.ok()) {
        std::fprintf(stderr, "%d %s\n", status.error_code(), status.error_message().c_str());
        std::exit(1);
    }
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2) return serve(argv[1]);
    int calls = std::stoi(argv[1]), rounds = std::stoi(argv[2]);
    grpc::Slice slice{std::string(argv[3])};
    grpc::ByteBuffer body(&slice, 1);
    std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
    for (int i = 4; i < argc; i++) {
        grpc::ChannelArguments own;
        own.SetInt("grpc.use_local_subchannel_pool", 1);
        auto to = std::string("127.0.0.1:") + argv[i];
        stubs.push_back(std::make_unique<grpc::GenericStub>(
            grpc::CreateCustomChannel(to, grpc::InsecureChannelCredentials(), own)));
        for (int n = 0; n < 300; n++) call(*stubs.back(), body);
    }
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < stubs.size(); i++) {
            std::vector<double> took(calls);
            for (double& t : took) t = call(*stubs[i], body);
            std::nth_element(took.begin(), took.begin() + calls / 2, took.end());
            std::printf("%zu %.2f\n", i, took[calls / 2]);
            std::fflush(stdout);
        }
}

// SPDX-License-Identifier: Apache-2.0
// An echo server and a client over raw bytes:
//   load PORT                  serves until it is killed
//   load METHOD BODY PORT…     reads lines `WHICH CALLS`, makes so many calls of that port, one after the other, and says
//                              the median latency in microseconds, or the status of the last call that failed;
//                              with EACH=1 in the environment the latency of each call
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
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

int serve(const std::string& port) {
    Service service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + port, grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(&service);
    auto server = builder.BuildAndStart();
    if (!server) return 1;
    std::cout << "serving" << std::endl;
    server->Wait();
    return 0;
}

class Target {
   public:
    Target(const std::string& method, const std::string& body, const std::string& port) : method_(method) {
        grpc::ChannelArguments own;
        own.SetInt("grpc.use_local_subchannel_pool", 1);
        auto channel = grpc::CreateCustomChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials(), own);
        stub_ = std::make_unique<grpc::GenericStub>(channel);
        grpc::Slice slice{body};
        body_ = grpc::ByteBuffer(&slice, 1);
    }

    double call() {
        grpc::ClientContext context;
        grpc::ByteBuffer reply;
        grpc::Status status;
        void* tag;
        bool ok;
        auto began = std::chrono::steady_clock::now();
        auto rpc = stub_->PrepareUnaryCall(&context, method_, body_, &queue_);
        rpc->StartCall();
        rpc->Finish(&reply, &status, &tag);
        queue_.Next(&tag, &ok);
        auto took = std::chrono::steady_clock::now() - began;
        if (!status.ok()) failed_ = status;
        return std::chrono::duration<double, std::micro>(took).count();
    }

    void say(int calls) {
        std::vector<double> took(calls);
        failed_ = grpc::Status::OK;
        for (double& t : took) t = call();
        if (failed_.ok() && getenv("EACH")) {
            for (double t : took) std::cout << t << ' ';
            std::cout << std::endl;
            return;
        }
        std::nth_element(took.begin(), took.begin() + calls / 2, took.end());
        if (failed_.ok()) std::cout << took[calls / 2] << std::endl;
        else std::cout << "status " << failed_.error_code() << " " << failed_.error_message() << std::endl;
    }

   private:
    std::string method_;
    std::unique_ptr<grpc::GenericStub> stub_;
    grpc::ByteBuffer body_;
    grpc::CompletionQueue queue_;
    grpc::Status failed_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2) return serve(argv[1]);
    std::vector<std::unique_ptr<Target>> targets;
    for (int i = 3; i < argc; i++) targets.push_back(std::make_unique<Target>(argv[1], argv[2], argv[i]));
    size_t which;
    int calls;
    while (std::cin >> which >> calls) targets.at(which)->say(calls);
}

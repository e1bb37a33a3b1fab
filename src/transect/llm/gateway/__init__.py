# SPDX-License-Identifier: Apache-2.0
"""A gateway before OpenAI-compatible engines: a queue for each tenant, and a policy that chooses whose request is next.

settings    the configuration file
listener    accepts connections               budget   of the process's descriptors, for whom
guard       who may hold a connection         strangers   those without a key, by address
http        one connection, within bounds     corked   its answers, in one piece
bodies      requests' bodies, in bytes
calls       a request as its client sent it: whose, how large, streamed or not
dispatch    who waits, which replica has room, who goes next
replica     one engine: its window, its health, what its metrics say
relay       one request to a replica and its answer back, counting tokens
usage       what an answer says that it used, streamed or not
app         what clients see        models   which models there are        admin   what operators see
serve       listeners, signals, draining
"""

# SPDX-License-Identifier: Apache-2.0
"""`transect demo stack`: two tenants on one stack, one of whom floods all layers, before and after the layers share.

files       the stack's files, for each way of sharing
engine      a stand-in for an LLM engine, which computes
shop        a gRPC service that takes turns, and asks the gateway for each call
load        both tenants' clients, and what came of their requests
whole       the stack in force, from one way of sharing to the next
"""

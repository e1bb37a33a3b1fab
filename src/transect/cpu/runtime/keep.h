/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The policy says itself whether a task goes on when its slice has ended. */
#define TS_KEEP

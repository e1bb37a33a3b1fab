/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <pthread.h>, where there is one thread: nothing needs a lock. */
#ifndef TRANSECT_WASM_PTHREAD_H
#define TRANSECT_WASM_PTHREAD_H

typedef char pthread_t;
typedef char pthread_mutex_t;
typedef char pthread_rwlock_t;

static inline int pthread_mutex_init(pthread_mutex_t *lock, const void *how) { return (void)lock, (void)how, 0; }
static inline int pthread_mutex_destroy(pthread_mutex_t *lock) { return (void)lock, 0; }
static inline int pthread_mutex_lock(pthread_mutex_t *lock) { return (void)lock, 0; }
static inline int pthread_mutex_unlock(pthread_mutex_t *lock) { return (void)lock, 0; }
static inline int pthread_rwlock_rdlock(pthread_rwlock_t *lock) { return (void)lock, 0; }
static inline int pthread_rwlock_unlock(pthread_rwlock_t *lock) { return (void)lock, 0; }

#endif

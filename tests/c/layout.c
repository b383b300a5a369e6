/*
 * The sizes, offsets and numbers that a program compiled with this header expects of every later
 * library. This file is compiled, not run.
 */
#include <bytefd.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define AT(type, member, offset) \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)

SIZE(bytefd_error, 256);
AT(bytefd_error, code, 0);
AT(bytefd_error, callback, 4);
AT(bytefd_error, op, 8);
AT(bytefd_error, message, 40);

SIZE(bytefd_wrap_options, 48);
AT(bytefd_wrap_options, size, 0);
AT(bytefd_wrap_options, name, 8);
AT(bytefd_wrap_options, pool, 16);
AT(bytefd_wrap_options, spill_threshold, 24);
AT(bytefd_wrap_options, flags, 32);
AT(bytefd_wrap_options, backend, 40);
AT(bytefd_wrap_options, mode, 44);

SIZE(bytefd_map_options, 56);
AT(bytefd_map_options, size, 0);
AT(bytefd_map_options, offset, 8);
AT(bytefd_map_options, length, 16);
AT(bytefd_map_options, file_size, 24);
AT(bytefd_map_options, reserve, 32);
AT(bytefd_map_options, flags, 40);
AT(bytefd_map_options, access, 48);
AT(bytefd_map_options, mode, 52);

SIZE(bytefd_pool_options, 40);
AT(bytefd_pool_options, size, 0);
AT(bytefd_pool_options, max_bytes, 8);
AT(bytefd_pool_options, idle_ns, 16);
AT(bytefd_pool_options, flags, 24);
AT(bytefd_pool_options, max_files, 32);
AT(bytefd_pool_options, method, 36);

SIZE(bytefd_pool_stats, 48);
AT(bytefd_pool_stats, size, 0);
AT(bytefd_pool_stats, hits, 8);
AT(bytefd_pool_stats, misses, 16);
AT(bytefd_pool_stats, dropped, 24);
AT(bytefd_pool_stats, lent, 32);
AT(bytefd_pool_stats, cached_bytes, 40);

SIZE(bytefd_stream_options, 40);
AT(bytefd_stream_options, size, 0);
AT(bytefd_stream_options, max_bytes, 8);
AT(bytefd_stream_options, size_hint, 16);
AT(bytefd_stream_options, timeout_ns, 24);
AT(bytefd_stream_options, flags, 32);

SIZE(bytefd_requirements, 40);
AT(bytefd_requirements, size, 0);
AT(bytefd_requirements, min_length, 8);
AT(bytefd_requirements, max_length, 16);
AT(bytefd_requirements, flags, 24);
AT(bytefd_requirements, seals, 32);
AT(bytefd_requirements, uid, 36);

SIZE(bytefd_transfer_options, 24);
AT(bytefd_transfer_options, size, 0);
AT(bytefd_transfer_options, timeout_ns, 8);
AT(bytefd_transfer_options, flags, 16);

SIZE(bytefd_credentials, 24);
AT(bytefd_credentials, size, 0);
AT(bytefd_credentials, pid, 8);
AT(bytefd_credentials, uid, 12);
AT(bytefd_credentials, gid, 16);
AT(bytefd_credentials, reserved, 20);

SIZE(bytefd_shm_options, 32);
AT(bytefd_shm_options, size, 0);
AT(bytefd_shm_options, length, 8);
AT(bytefd_shm_options, flags, 16);
AT(bytefd_shm_options, access, 24);
AT(bytefd_shm_options, mode, 28);

SIZE(bytefd_sweep_result, 32);
AT(bytefd_sweep_result, size, 0);
AT(bytefd_sweep_result, removed, 8);
AT(bytefd_sweep_result, in_use, 16);
AT(bytefd_sweep_result, failed, 24);

SIZE(bytefd_tempfile_options, 40);
AT(bytefd_tempfile_options, size, 0);
AT(bytefd_tempfile_options, suffix, 8);
AT(bytefd_tempfile_options, directory, 16);
AT(bytefd_tempfile_options, flags, 24);
AT(bytefd_tempfile_options, mode, 32);
AT(bytefd_tempfile_options, reserved, 36);

SIZE(bytefd_sysv_options, 32);
AT(bytefd_sysv_options, size, 0);
AT(bytefd_sysv_options, length, 8);
AT(bytefd_sysv_options, flags, 16);
AT(bytefd_sysv_options, access, 24);
AT(bytefd_sysv_options, mode, 28);

NUMBER(BYTEFD_INHERIT, 1);
NUMBER(BYTEFD_INTERRUPTIBLE, 2);
NUMBER(BYTEFD_WRITABLE, 4);
NUMBER(BYTEFD_READ_ONLY, 8);
NUMBER(BYTEFD_EXECUTABLE, 16);
NUMBER(BYTEFD_SEAL_CONTENT, 32);
NUMBER(BYTEFD_TRUST_CALLBACK, 64);
NUMBER(BYTEFD_BACKEND_AUTO, 0x80000010);
NUMBER(BYTEFD_BACKEND_MEMFD, 0x80000011);
NUMBER(BYTEFD_BACKEND_SHM, 0x80000012);
NUMBER(BYTEFD_BACKEND_TMPFILE, 0x80000013);
NUMBER(BYTEFD_POOL_AUTO, 0x80000020);
NUMBER(BYTEFD_POOL_REUSE, 0x80000021);
NUMBER(BYTEFD_POOL_NEW_FILES, 0x80000022);
NUMBER(BYTEFD_REQUIRE_UID, UINT64_C(1) << 20);
NUMBER(BYTEFD_REQUIRE_NO_SEALS, UINT64_C(1) << 21);
NUMBER(BYTEFD_TRANSFER_SOME, UINT64_C(1) << 22);
NUMBER(BYTEFD_SHM_CREATE, 1ull << 24);
NUMBER(BYTEFD_SHM_EXCLUSIVE, 1ull << 25);
NUMBER(BYTEFD_SHM_OWNED, 1ull << 26);
NUMBER(BYTEFD_SHM_ANY_OWNER, 1ull << 27);
NUMBER(BYTEFD_TO_END, SIZE_MAX);
NUMBER(BYTEFD_UNLIMITED, UINT64_MAX);
NUMBER(BYTEFD_MAP_READ, 0x80000001u);
NUMBER(BYTEFD_MAP_WRITE, 0x80000002u);
NUMBER(BYTEFD_MAP_PRIVATE, 0x80000003u);
NUMBER(BYTEFD_MAP_CREATE, 1ull << 8);
NUMBER(BYTEFD_MAP_EXECUTE, 1ull << 9);
NUMBER(BYTEFD_MAP_POPULATE, 1ull << 10);
NUMBER(BYTEFD_MAP_MLOCK, 1ull << 11);
NUMBER(BYTEFD_MAP_HUGE_PAGES, 1ull << 12);
NUMBER(BYTEFD_MAP_NO_RESERVE, 1ull << 13);
NUMBER(BYTEFD_MAP_BEYOND_EOF, 1ull << 14);
NUMBER(BYTEFD_MAP_GUARD, 1ull << 15);
NUMBER(BYTEFD_MAP_NO_FORK, 1ull << 16);
NUMBER(BYTEFD_MAP_WIPE_ON_FORK, 1ull << 17);
NUMBER(BYTEFD_LOSE_CONTENT, 1ull << 18);
NUMBER(BYTEFD_SHM_NAME_SIZE, 257);
NUMBER(BYTEFD_SYSV_CREATE, 1ull << 28);
NUMBER(BYTEFD_SYSV_EXCLUSIVE, 1ull << 29);
NUMBER(BYTEFD_SYSV_BY_ID, 1ull << 30);
NUMBER(BYTEFD_SYSV_TRANSIENT, 1ull << 32);

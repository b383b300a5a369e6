/* What a program compiled with this header relies on in every later library: sizes, offsets, numbers. It only compiles. */
#include <bytefd.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)

SIZE(bytefd_error, 256);
AT(bytefd_error, code, 0);
AT(bytefd_error, op, 4);
AT(bytefd_error, message, 36);

SIZE(bytefd_wrap_options, 40);
AT(bytefd_wrap_options, size, 0);
AT(bytefd_wrap_options, name, 8);
AT(bytefd_wrap_options, flags, 16);
AT(bytefd_wrap_options, backend, 20);
AT(bytefd_wrap_options, mode, 24);
AT(bytefd_wrap_options, pool, 32);

/* The first version of this struct ended at 48. */
SIZE(bytefd_map_options, 56);
AT(bytefd_map_options, size, 0);
AT(bytefd_map_options, offset, 8);
AT(bytefd_map_options, length, 16);
AT(bytefd_map_options, file_size, 24);
AT(bytefd_map_options, access, 32);
AT(bytefd_map_options, flags, 36);
AT(bytefd_map_options, mode, 40);
AT(bytefd_map_options, reserve, 48);

SIZE(bytefd_pool_counts, 40);
AT(bytefd_pool_counts, size, 0);
AT(bytefd_pool_counts, lent_again, 8);
AT(bytefd_pool_counts, new_files, 16);
AT(bytefd_pool_counts, dropped, 24);
AT(bytefd_pool_counts, kept_bytes, 32);

SIZE(bytefd_stream_options, 24);
AT(bytefd_stream_options, size, 0);
AT(bytefd_stream_options, most, 8);
AT(bytefd_stream_options, spill_above, 16);

SIZE(bytefd_requirements, 32);
AT(bytefd_requirements, size, 0);
AT(bytefd_requirements, length, 8);
AT(bytefd_requirements, seals, 16);
AT(bytefd_requirements, flags, 20);
AT(bytefd_requirements, owner, 24);

SIZE(bytefd_credentials, 12);
AT(bytefd_credentials, process, 0);
AT(bytefd_credentials, user, 4);
AT(bytefd_credentials, group, 8);

SIZE(bytefd_shm_options, 32);
AT(bytefd_shm_options, size, 0);
AT(bytefd_shm_options, length, 8);
AT(bytefd_shm_options, how, 16);
AT(bytefd_shm_options, access, 20);
AT(bytefd_shm_options, flags, 24);
AT(bytefd_shm_options, mode, 28);

SIZE(bytefd_sysv_options, 32);
AT(bytefd_sysv_options, size, 0);
AT(bytefd_sysv_options, length, 8);
AT(bytefd_sysv_options, how, 16);
AT(bytefd_sysv_options, access, 20);
AT(bytefd_sysv_options, mode, 24);
AT(bytefd_sysv_options, flags, 28);

NUMBER(BYTEFD_WRITABLE, 1);
NUMBER(BYTEFD_READ_ONLY, 2);
NUMBER(BYTEFD_EXECUTABLE, 4);
NUMBER(BYTEFD_INHERIT, 8);
NUMBER(BYTEFD_SEAL_CONTENT, 16);
NUMBER(BYTEFD_TRUST_CALLBACK, 32);
NUMBER(BYTEFD_BACKEND_AUTO, 0);
NUMBER(BYTEFD_BACKEND_MEMFD, 1);
NUMBER(BYTEFD_BACKEND_SHM, 2);
NUMBER(BYTEFD_BACKEND_TMPFILE, 3);
NUMBER(BYTEFD_MAP_READ, 0);
NUMBER(BYTEFD_MAP_WRITE, 1);
NUMBER(BYTEFD_MAP_PRIVATE, 2);
NUMBER(BYTEFD_MAP_CREATE, 1);
NUMBER(BYTEFD_MAP_EXECUTE, 2);
NUMBER(BYTEFD_MAP_POPULATE, 4);
NUMBER(BYTEFD_MAP_LOCK, 8);
NUMBER(BYTEFD_MAP_HUGE_PAGES, 16);
NUMBER(BYTEFD_MAP_NO_RESERVE, 32);
NUMBER(BYTEFD_MAP_BEYOND_EOF, 64);
NUMBER(BYTEFD_MAP_GUARD, 128);
NUMBER(BYTEFD_MAP_NO_FORK, 256);
NUMBER(BYTEFD_MAP_WIPE_ON_FORK, 512);
NUMBER(BYTEFD_FLUSH_SYNC, 0);
NUMBER(BYTEFD_FLUSH_ASYNC, 1);
NUMBER(BYTEFD_FLUSH_INVALIDATE, 2);
NUMBER(BYTEFD_PROTECTION_NONE, 0);
NUMBER(BYTEFD_PROTECTION_READ, 1);
NUMBER(BYTEFD_PROTECTION_WRITE, 2);
NUMBER(BYTEFD_PROTECTION_EXECUTE, 4);
NUMBER(BYTEFD_ADVICE_NORMAL, 0);
NUMBER(BYTEFD_ADVICE_RANDOM, 1);
NUMBER(BYTEFD_ADVICE_SEQUENTIAL, 2);
NUMBER(BYTEFD_ADVICE_WILL_NEED, 3);
NUMBER(BYTEFD_ADVICE_DONT_NEED, 4);
NUMBER(BYTEFD_ADVICE_FREE, 8);
NUMBER(BYTEFD_ADVICE_REMOVE, 9);
NUMBER(BYTEFD_ADVICE_DONT_FORK, 10);
NUMBER(BYTEFD_ADVICE_DO_FORK, 11);
NUMBER(BYTEFD_ADVICE_MERGEABLE, 12);
NUMBER(BYTEFD_ADVICE_UNMERGEABLE, 13);
NUMBER(BYTEFD_ADVICE_HUGE_PAGE, 14);
NUMBER(BYTEFD_ADVICE_NO_HUGE_PAGE, 15);
NUMBER(BYTEFD_ADVICE_DONT_DUMP, 16);
NUMBER(BYTEFD_ADVICE_DO_DUMP, 17);
NUMBER(BYTEFD_ADVICE_WIPE_ON_FORK, 18);
NUMBER(BYTEFD_ADVICE_KEEP_ON_FORK, 19);
NUMBER(BYTEFD_ADVICE_COLD, 20);
NUMBER(BYTEFD_ADVICE_PAGE_OUT, 21);
NUMBER(BYTEFD_ADVICE_POPULATE_READ, 22);
NUMBER(BYTEFD_ADVICE_POPULATE_WRITE, 23);
NUMBER(BYTEFD_ADVICE_DONT_NEED_LOCKED, 24);
NUMBER(BYTEFD_ADVICE_COLLAPSE, 25);
NUMBER(BYTEFD_ADVICE_HARDWARE_POISON, 100);
NUMBER(BYTEFD_ADVICE_SOFT_OFFLINE, 101);
NUMBER(BYTEFD_ADVICE_GUARD_INSTALL, 102);
NUMBER(BYTEFD_ADVICE_GUARD_REMOVE, 103);
NUMBER(BYTEFD_ADVICE_LOSE_DATA, 0x10000);
NUMBER(BYTEFD_REQUIRE_OWNER, 1);
NUMBER(BYTEFD_REQUIRE_NO_SEALS, 2);
NUMBER(BYTEFD_SHM_OPEN, 0);
NUMBER(BYTEFD_SHM_CREATE, 1);
NUMBER(BYTEFD_SHM_OPEN_OR_CREATE, 2);
NUMBER(BYTEFD_SHM_OWNER, 1);
NUMBER(BYTEFD_SHM_NAME_SIZE, 257);
NUMBER(BYTEFD_SYSV_OPEN, 0);
NUMBER(BYTEFD_SYSV_CREATE, 1);
NUMBER(BYTEFD_SYSV_ATTACH, 2);
NUMBER(BYTEFD_SYSV_OWNER, 1);
NUMBER(BYTEFD_LOCK_SHARED, 0);
NUMBER(BYTEFD_LOCK_EXCLUSIVE, 1);
NUMBER(BYTEFD_LOCK_TRY, 2);

/* What a program compiled with this header relies on in every later library: sizes, offsets, numbers. It only compiles. */
#include <bytefd.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)

SIZE(bytefd_error, 256);
AT(bytefd_error, code, 0);
AT(bytefd_error, callback, 4);
AT(bytefd_error, op, 8);
AT(bytefd_error, message, 40);

SIZE(bytefd_wrap_options, 40);
AT(bytefd_wrap_options, size, 0);
AT(bytefd_wrap_options, name, 8);
AT(bytefd_wrap_options, flags, 16);
AT(bytefd_wrap_options, backend, 20);
AT(bytefd_wrap_options, mode, 24);
AT(bytefd_wrap_options, pool, 32);

SIZE(bytefd_map_options, 56);
AT(bytefd_map_options, size, 0);
AT(bytefd_map_options, offset, 8);
AT(bytefd_map_options, length, 16);
AT(bytefd_map_options, file_size, 24);
AT(bytefd_map_options, reserve, 32);
AT(bytefd_map_options, flags, 40);
AT(bytefd_map_options, access, 48);
AT(bytefd_map_options, mode, 52);

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
NUMBER(BYTEFD_TO_END, SIZE_MAX);
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

/* Stands between a process and its disk (LD_PRELOAD), and writes down what a power cut would be free to undo.
 *
 * Every change of a file or a name below CUT_ROOT is written to CUT_JOURNAL before it is made, with what it replaces, and
 * so is every sync after it succeeded: what was changed before a sync began is durable when it has ended, nothing else
 * is. A file that loses its last name keeps one in CUT_GRAVEYARD, so that the name can come back. disk.py plays the cut.
 *
 * A sync takes up to CUT_SYNC_MICROSECONDS instead of asking the drive. CUT_PLANT=data or =names makes syncs of files or
 * of directories count for nothing: with that the check must find losses, or it finds none ever.
 *
 * What it could not see (a shared writable mapping, a duplicated descriptor, ...) ends the process with a sentence. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HELLO = 1, WRITE, TRUNCATE, EXTEND, CREATE, UNLINK, RENAME, MAKE_DIRECTORY, SYNC, SYNC_DIRECTORY, SYNC_ALL };
enum { ZEROS = 1 };

/* disk.py knows it as "<IIQQQQII". */
struct record {
    uint32_t type, flags;
    uint64_t inode, a, b, c;
    uint32_t size, check;
};

#define DESCRIPTORS 65536
/* By descriptor: 0 is not ours. */
static struct { uint64_t inode; int reader; int append; char *directory; } files[DESCRIPTORS];
static char root[PATH_MAX], graveyard[PATH_MAX];
static size_t root_size;
static int journal = -1, sync_microseconds, ignores_data, ignores_names;
static uint64_t written;
static unsigned chance;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    dprintf(2, "powercut: %s: %s\n", what, strerror(errno));
    _exit(70);
}

static void write_all(const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++) {
        const char *at = parts[i].iov_base;
        size_t left = parts[i].iov_len;
        while (left) {
            long done = syscall(SYS_write, journal, at, left);
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) fail("the journal cannot be written");
            at += done;
            left -= done;
        }
    }
}

/* With the lock held. */
static void note(uint32_t type, uint64_t inode, uint64_t a, uint64_t b, uint64_t c, const void *data, size_t size) {
    struct record record = {type, 0, inode, a, b, c, size, 0x5a5a5a5a};
    const char *octets = data;
    if ((type == WRITE || type == TRUNCATE) && (!size || (!octets[0] && !memcmp(octets, octets + 1, size - 1)))) {
        record.flags = ZEROS;
        record.size = 0;
    }
    int saved = errno;
    struct iovec parts[] = {{&record, sizeof record}, {(void *)data, record.size}};
    write_all(parts, 2);
    written++;
    errno = saved;
}

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("CUT_ROOT"), *path = getenv("CUT_JOURNAL"), *grave = getenv("CUT_GRAVEYARD");
    if (!directory || !path || !grave || !realpath(directory, root) || !realpath(grave, graveyard)) fail("CUT_*");
    root_size = strlen(root);
    const char *plant = getenv("CUT_PLANT"), *pause = getenv("CUT_SYNC_MICROSECONDS");
    ignores_data = plant && !strcmp(plant, "data");
    ignores_names = plant && !strcmp(plant, "names");
    sync_microseconds = pause ? atoi(pause) : 0;
    chance = getpid();
    journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) fail(path);
    note(HELLO, 0, 0, 0, 0, "", 0);
}

/* The path of a name below the root, relative to it; NULL for any other. */
static const char *ours(int at, const char *path, char *full) {
    char directory[PATH_MAX], begin[3 * PATH_MAX];
    if (journal < 0 || !path) return NULL;
    if (*path == '/' || at == AT_FDCWD) {
        snprintf(begin, sizeof begin, "%s", path);
    } else {
        if (at < 0 || at >= DESCRIPTORS || !files[at].directory) return NULL;
        snprintf(begin, sizeof begin, "%s/%s/%s", root, files[at].directory, path);
    }
    int saved = errno;
    size_t size = strlen(begin);
    while (size > 1 && begin[size - 1] == '/') begin[--size] = 0;
    char *slash = strrchr(begin, '/');
    const char *name = slash ? slash + 1 : begin;
    const char *parent = slash == begin ? "/" : slash ? begin : ".";
    char first[3 * PATH_MAX];
    snprintf(first, sizeof first, "%s", name);
    if (slash && slash != begin) *slash = 0;
    const char *found = realpath(parent, directory);
    errno = saved;
    if (!found) return NULL;
    if (snprintf(full, PATH_MAX, "%s/%s", strcmp(directory, "/") ? directory : "", first) >= PATH_MAX) return NULL;
    if (!strcmp(full, root)) return "";
    return !strncmp(full, root, root_size) && full[root_size] == '/' ? full + root_size + 1 : NULL;
}

static int is_file(int file) { return file >= 0 && file < DESCRIPTORS && files[file].inode && !files[file].directory; }

static uint64_t size_of(int file) {
    struct stat status;
    if (fstat(file, &status)) fail("fstat");
    return status.st_size;
}

/* What stands in a range, as far as the file reaches; the caller frees it. */
static char *octets_at(int reader, uint64_t offset, uint64_t *count, uint64_t size) {
    *count = offset >= size ? 0 : *count < size - offset ? *count : size - offset;
    char *octets = malloc(*count + 1);
    uint64_t done = 0;
    while (octets && done < *count) {
        long read = syscall(SYS_pread64, reader, octets + done, *count - done, offset + done);
        if (read < 0 && errno == EINTR) continue;
        if (read <= 0) fail("what is replaced cannot be read");
        done += read;
    }
    if (!octets) fail("malloc");
    return octets;
}

static void note_write(int file, uint64_t offset, uint64_t count) {
    uint64_t size = size_of(file), replaced = count;
    char *octets = octets_at(files[file].reader, offset, &replaced, size);
    note(WRITE, files[file].inode, offset, count, size, octets, replaced);
    free(octets);
}

static void note_truncate(int reader, uint64_t inode, uint64_t from, uint64_t to) {
    uint64_t tail = from > to ? from - to : 0;
    char *octets = octets_at(reader, to, &tail, from);
    note(TRUNCATE, inode, to, from, tail, octets, tail);
    free(octets);
}

/* Opening and closing */

static int open_ours(int at, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *name = ours(at, path, full);
    if (!name) return syscall(SYS_openat, at, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE || flags & O_DSYNC) fail("opened in a way that it does not know");
    pthread_mutex_lock(&lock);
    struct stat status;
    int existed = !lstat(full, &status), changes = (flags & O_ACCMODE) != O_RDONLY;
    if (existed && changes && flags & O_TRUNC && !(flags & O_CREAT && flags & O_EXCL) && status.st_size) {
        int reader = syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC, 0);
        if (reader >= 0) note_truncate(reader, status.st_ino, status.st_size, 0);
        if (reader >= 0) syscall(SYS_close, reader);
    }
    int file = syscall(SYS_openat, AT_FDCWD, full, flags, mode);
    if (file >= DESCRIPTORS) fail("too many descriptors");
    if (file >= 0) {
        if (fstat(file, &status)) fail("fstat");
        if (!existed && flags & O_CREAT) note(CREATE, status.st_ino, 0, 0, 0, name, strlen(name));
        files[file].inode = status.st_ino;
        files[file].append = flags & O_APPEND;
        files[file].directory = S_ISDIR(status.st_mode) ? strdup(name) : NULL;
        files[file].reader = changes ? syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC, 0) : -1;
        if (changes && files[file].reader < 0) fail("a file cannot be opened twice");
    }
    pthread_mutex_unlock(&lock);
    return file;
}

#define OPEN(name, ...) \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    return open_ours(name, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD); }
int openat(int at, const char *path, int flags, ...) { OPEN(at); }
int openat64(int at, const char *path, int flags, ...) { OPEN(at); }
int creat(const char *path, mode_t mode) { return open_ours(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int file) {
    if (file == journal && file >= 0) return 0;
    if (file >= 0 && file < DESCRIPTORS && files[file].inode) {
        pthread_mutex_lock(&lock);
        if (files[file].reader >= 0) syscall(SYS_close, files[file].reader);
        free(files[file].directory);
        memset(&files[file], 0, sizeof files[file]);
        long result = syscall(SYS_close, file);
        pthread_mutex_unlock(&lock);
        return result;
    }
    return syscall(SYS_close, file);
}

/* Content */

static ssize_t write_at(int file, const void *octets, size_t count, uint64_t offset) {
    pthread_mutex_lock(&lock);
    note_write(file, offset, count);
    ssize_t result = syscall(SYS_pwrite64, file, octets, count, offset);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int file, const void *octets, size_t count, off_t offset) {
    return is_file(file) ? write_at(file, octets, count, offset) : syscall(SYS_pwrite64, file, octets, count, offset);
}
ssize_t pwrite64(int file, const void *octets, size_t count, off_t offset) {
    return pwrite(file, octets, count, offset);
}

ssize_t write(int file, const void *octets, size_t count) {
    if (!is_file(file)) return syscall(SYS_write, file, octets, count);
    pthread_mutex_lock(&lock);
    off_t offset = files[file].append ? (off_t)size_of(file) : lseek(file, 0, SEEK_CUR);
    note_write(file, offset, count);
    ssize_t result = syscall(SYS_write, file, octets, count);
    pthread_mutex_unlock(&lock);
    return result;
}

/* One part after the other: a shorter write is allowed anywhere. */
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    if (!is_file(file)) return syscall(SYS_pwritev, file, parts, count, (long)offset, 0L);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write_at(file, parts[i].iov_base, parts[i].iov_len, offset + total);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset) {
    return pwritev(file, parts, count, offset);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_file(file)) return syscall(SYS_writev, file, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write(file, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

int ftruncate(int file, off_t size) {
    if (!is_file(file)) return syscall(SYS_ftruncate, file, size);
    pthread_mutex_lock(&lock);
    note_truncate(files[file].reader, files[file].inode, size_of(file), size);
    int result = syscall(SYS_ftruncate, file, size);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }

int fallocate(int file, int mode, off_t offset, off_t count) {
    if (!is_file(file)) return syscall(SYS_fallocate, file, mode, offset, count);
    int empties = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && !empties) fail("a mode of fallocate that it does not know");
    pthread_mutex_lock(&lock);
    uint64_t size = size_of(file), end = size < (uint64_t)(offset + count) ? size : (uint64_t)(offset + count);
    if (empties && (uint64_t)offset < end) note_write(file, offset, end - offset);
    if (mode == 0) note(EXTEND, files[file].inode, offset, count, size, "", 0);
    int result = syscall(SYS_fallocate, file, mode, offset, count);
    pthread_mutex_unlock(&lock);
    return result;
}
int fallocate64(int file, int mode, off_t offset, off_t count) { return fallocate(file, mode, offset, count); }
int posix_fallocate(int file, off_t offset, off_t count) {
    int saved = errno, result = fallocate(file, 0, offset, count) ? errno : 0;
    errno = saved;
    return result;
}
int posix_fallocate64(int file, off_t offset, off_t count) { return posix_fallocate(file, offset, count); }

/* Names */

static void bury(const char *full, uint64_t inode) {
    char grave[PATH_MAX + 32];
    snprintf(grave, sizeof grave, "%s/%llu", graveyard, (unsigned long long)inode);
    if (syscall(SYS_linkat, AT_FDCWD, full, AT_FDCWD, grave, 0) && errno != EEXIST) fail(grave);
}

int unlinkat(int at, const char *path, int flags) {
    char full[PATH_MAX];
    const char *name = ours(at, path, full);
    struct stat status;
    if (!name || lstat(full, &status)) return syscall(SYS_unlinkat, at, path, flags);
    if (flags || S_ISDIR(status.st_mode)) fail("removes a directory, which it does not know");
    pthread_mutex_lock(&lock);
    bury(full, status.st_ino);
    note(UNLINK, status.st_ino, 0, 0, 0, name, strlen(name));
    int result = syscall(SYS_unlinkat, AT_FDCWD, full, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int remove(const char *path) { return unlink(path); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char full_from[PATH_MAX], full_to[PATH_MAX], both[2 * PATH_MAX];
    const char *old = ours(from_at, from, full_from), *new = ours(to_at, to, full_to);
    struct stat status, target;
    if ((!old && !new) || lstat(full_from, &status)) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (!old || !new || S_ISDIR(status.st_mode) || flags & ~RENAME_NOREPLACE) fail("a rename that it does not know");
    int replaces = !lstat(full_to, &target);
    if (replaces && flags) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    if (replaces) bury(full_to, target.st_ino);
    int size = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
    note(RENAME, status.st_ino, 0, 0, 0, both, size);
    int result = syscall(SYS_renameat2, AT_FDCWD, full_from, AT_FDCWD, full_to, flags);
    pthread_mutex_unlock(&lock);
    return result;
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char *path, mode_t mode) {
    char full[PATH_MAX];
    const char *name = ours(at, path, full);
    if (!name) return syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_mkdirat, AT_FDCWD, full, mode);
    if (!result) note(MAKE_DIRECTORY, 0, 0, 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Syncs */

static uint64_t begin_sync(void) {
    pthread_mutex_lock(&lock);
    uint64_t mark = written;
    int pause = sync_microseconds ? rand_r(&chance) % sync_microseconds : 0;
    pthread_mutex_unlock(&lock);
    if (pause) usleep(pause);
    return mark;
}

static int sync_file(int file) {
    int is_directory = files[file].directory != NULL;
    uint64_t mark = begin_sync();
    pthread_mutex_lock(&lock);
    if (is_directory && !ignores_names)
        note(SYNC_DIRECTORY, 0, mark, 0, 0, files[file].directory, strlen(files[file].directory));
    if (!is_directory && !ignores_data) note(SYNC, files[file].inode, mark, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

static int is_tracked(int file) { return file >= 0 && file < DESCRIPTORS && files[file].inode; }

int fsync(int file) { return is_tracked(file) ? sync_file(file) : syscall(SYS_fsync, file); }
int fdatasync(int file) { return is_tracked(file) ? sync_file(file) : syscall(SYS_fdatasync, file); }
void sync(void) {
    uint64_t mark = begin_sync();
    pthread_mutex_lock(&lock);
    if (!ignores_data && !ignores_names) note(SYNC_ALL, 0, mark, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
}
int syncfs(int file) {
    sync();
    return 0;
}
/* Makes nothing durable. */
int sync_file_range(int file, off_t offset, off_t count, unsigned flags) { return 0; }

/* What would go past it */

#define UNSEEN(condition, what) \
    if (condition) fail(what " of a file below the root, which it cannot see through")

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    UNSEEN(is_file(file) && !(flags & MAP_ANONYMOUS) && protection & PROT_WRITE && flags & MAP_SHARED, "a mapping");
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}
void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return mmap(address, size, protection, flags, file, offset);
}
int dup(int file) {
    UNSEEN(is_tracked(file), "a duplicate");
    return syscall(SYS_dup, file);
}
int dup3(int file, int to, int flags) {
    UNSEEN(is_tracked(file) || is_tracked(to), "a duplicate");
    return syscall(SYS_dup3, file, to, flags);
}
int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    UNSEEN(is_tracked(file) && (command == F_DUPFD || command == F_DUPFD_CLOEXEC), "a duplicate");
    return syscall(SYS_fcntl, file, command, argument);
}
int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return fcntl(file, command, argument);
}
ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t offset, int flags) {
    UNSEEN(is_file(file), "pwritev2");
    return syscall(SYS_pwritev2, file, parts, count, (long)offset, 0L, flags);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
    UNSEEN(is_file(to), "sendfile");
    return syscall(SYS_sendfile, to, from, offset, count);
}
ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t count, unsigned flags) {
    UNSEEN(is_file(to), "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, count, flags);
}

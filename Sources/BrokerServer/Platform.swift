internal import CMalloc
#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The few calls of the C library the server needs by itself.
enum Platform {
    /// Why a file cannot be read, or nil when it can.
    static func whyUnreadable(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        var byte: UInt8 = 0
        // Opening a folder succeeds; reading it does not.
        guard read(descriptor, &byte, 1) >= 0 else { return String(cString: strerror(errno)) }
        return nil
    }

    /// The text of an error number.
    static func message(_ code: CInt) -> String {
        String(cString: strerror(code))
    }

    /// Whether an address cannot be had because the machine has no such protocol or interface.
    static func isMissingAddress(_ code: CInt) -> Bool {
        code == EADDRNOTAVAIL || code == EAFNOSUPPORT || code == EPROTONOSUPPORT
    }

    /// Whether an address is taken.
    static func isTaken(_ code: CInt) -> Bool {
        code == EADDRINUSE
    }

    /// Whether a call failed because the process or the machine has no descriptors or memory left.
    static func isExhausted(_ code: CInt) -> Bool {
        code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM
    }

    /// Has the allocator map large blocks from the system and unmap them when they are freed, now and later.
    ///
    /// Left alone, glibc moves its threshold up to the largest block ever freed, and a broker that once held a backlog
    /// would keep its memory for life.
    static func returnLargeMemory() {
        martlet_map_blocks_from(ServerLimits.mappedBlockBytes, ServerLimits.keptFreeBytes)
    }

    /// Raises the number of files this process may open, and so of connections, to what the system allows.
    static func raiseFileLimit() {
        var limit = rlimit()
        #if canImport(Glibc)
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let kind = RLIMIT_NOFILE
        #endif
        guard getrlimit(kind, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(kind, &limit)
    }
}

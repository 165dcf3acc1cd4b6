#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A thread of the system, for work that blocks.
struct WorkerThread: @unchecked Sendable {
    // `@unchecked Sendable`: a thread's handle is a number or an address that is only ever passed to the system.
    #if canImport(Glibc)
    private let handle: pthread_t
    #else
    private let handle: pthread_t?
    #endif

    private final class Work {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }

    /// Starts a thread that runs a function once.
    init(_ run: @escaping @Sendable () -> Void) {
        let work = Unmanaged.passRetained(Work(run))
        #if canImport(Glibc)
        var handle = pthread_t()
        #else
        var handle: pthread_t?
        #endif
        let code = pthread_create(&handle, nil, runWork, work.toOpaque())
        precondition(code == 0, "the system has no room for one more thread")
        self.handle = handle
    }

    /// Waits for the end; once.
    func join() {
        #if canImport(Glibc)
        pthread_join(self.handle, nil)
        #else
        if let handle = self.handle { pthread_join(handle, nil) }
        #endif
    }

    #if canImport(Darwin)
    private typealias Context = UnsafeMutableRawPointer
    #else
    private typealias Context = UnsafeMutableRawPointer?
    #endif

    private let runWork: @convention(c) (Context) -> UnsafeMutableRawPointer? = { context in
        let address: UnsafeMutableRawPointer? = context
        if let address { Unmanaged<Work>.fromOpaque(address).takeRetainedValue().run() }
        return nil
    }
}

/// A mutex with a condition that one thread waits for, by a clock that nobody sets.
final class WaitLock: @unchecked Sendable {
    // `@unchecked Sendable`: both are made for use by several threads, and stand at fixed addresses.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(self.mutex, nil)
        #if canImport(Darwin)
        pthread_cond_init(self.condition, nil)
        #else
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.condition, &attributes)
        pthread_condattr_destroy(&attributes)
        #endif
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    func lock() { pthread_mutex_lock(self.mutex) }

    func unlock() { pthread_mutex_unlock(self.mutex) }

    /// Wakes the waiting thread.
    func wake() { pthread_cond_signal(self.condition) }

    /// Lets go of the lock until somebody wakes us or `nanoseconds` have passed; may return earlier for no reason.
    func wait(nanoseconds: UInt64?) {
        guard let nanoseconds else {
            pthread_cond_wait(self.condition, self.mutex)
            return
        }
        #if canImport(Darwin)
        var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        pthread_cond_timedwait_relative_np(self.condition, self.mutex, &time)
        #else
        let end = Self.now + nanoseconds
        var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        pthread_cond_timedwait(self.condition, self.mutex, &time)
        #endif
    }

    /// Nanoseconds of the same clock.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

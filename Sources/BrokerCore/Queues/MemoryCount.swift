/// Octets that the rings of a shard hold, counted where they are allocated: a cell behind a pointer.
///
/// A backlog's rings count like its messages: a fanout of small messages to many queues must not grow unnoticed.
struct MemoryCount {
    private let cell: UnsafeMutablePointer<Int>

    init() {
        self.cell = .allocate(capacity: 1)
        self.cell.initialize(to: 0)
    }

    /// Octets held now.
    var bytes: Int { self.cell.pointee }

    func add(_ bytes: Int) { self.cell.pointee &+= bytes }

    func remove(_ bytes: Int) { self.cell.pointee &-= bytes }

    /// Only when every ring that counts here is gone.
    func deallocate() { self.cell.deallocate() }
}

/// Why a command has not done what it should.
struct CtlFailure: Error, Equatable {
    /// What the process says at its end: the numbers of `sysexits.h`, as rabbitmqctl has them.
    enum Exit: Int32 {
        /// The command line makes no sense.
        case usage = 64
        /// There is no such virtual host.
        case data = 65
        /// No broker can be reached, or it has refused.
        case unavailable = 69
        /// The broker has not answered in time.
        case timeout = 75
    }

    let exit: Exit
    /// Lines for a person, without a line break at the end.
    let text: String

    init(_ exit: Exit, _ text: String) {
        self.exit = exit
        self.text = text
    }
}

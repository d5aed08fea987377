def evaluate(function, sizes, arrays):
    return Expected()
class Expected:
    def check_refusal(self, error, is_gradient): return []
    def check_outputs(self, outputs, is_gradient): return []

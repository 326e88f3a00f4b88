/* The Python interpreter as a program of its own, which can be linked with a sanitizer's runtime. */
int Py_BytesMain(int, char **);

int main(int count, char **arguments) { return Py_BytesMain(count, arguments); }

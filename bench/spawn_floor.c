/* The least that a process costs: nothing but its birth and its end (bench/spawn.cc). */
int main(void) { return 0; }

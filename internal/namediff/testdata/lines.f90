module shapes
  implicit none
  type shape
    real :: side
  end type
contains
  pure real function area(s)
    type(shape), intent(in) :: s
    area = s%side * s%side
  end function
  subroutine scale(list, by)
    type(shape), intent(inout) :: list(:)
    real, intent(in) :: by
    integer :: i
    do i = 1, size(list)
      list(i)%side = list(i)%side * by
    end do
  end subroutine
end module

program lines
  use shapes
  implicit none
  type(shape) :: list(10)
  integer :: i
  do i = 1, 10
    list(i)%side = real(i)
  end do
  call scale(list, 2.0)
  print *, sum([(area(list(i)), i = 1, 10)])
end program
